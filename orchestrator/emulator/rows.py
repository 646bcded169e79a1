"""One fixed-width record per request of a job, in a file: what the ledger and the answers need, in
flat memory.

40 bytes: the body's digest (xxh3-128), the identity's digest (xxh3-64), the line's offset in the
job's input, the tokens of its prompt, and its fate (0 ordinary, k the k-th row fault of the job,
OWN_ERROR an error of the request's own making).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from xxhash import xxh3_64_intdigest, xxh3_128_digest

RECORD = struct.Struct("<16sQQIB3x")
OWN_ERROR = 255


@dataclass(frozen=True, slots=True)
class Row:
    """One request's record."""

    body: bytes
    key: int
    offset: int
    tokens: int
    fate: int


def body_digest(raw: bytes) -> bytes:
    """Digest a request's raw JSON, as it stood on the wire: 16 bytes."""
    return xxh3_128_digest(raw)


def key_digest(key: str) -> int:
    """Digest a request's identity: 64 bits. A request without one is known by `#` and its
    ordinal.
    """
    return xxh3_64_intdigest(key.encode("utf-8", "surrogatepass"))


def read_rows(path: Path, first: int = 0) -> Iterator[Row]:
    """Yield the rows of a job from an ordinal on."""
    with path.open("rb") as rows:
        rows.seek(first * RECORD.size)
        while block := rows.read(RECORD.size * 4096):
            for fields in RECORD.iter_unpack(block):
                yield Row(*fields)
