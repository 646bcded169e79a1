"""A claimed, indexed source: read by position, checked against its digests; its mapped index.

`plain` is there when the drop was compressed, else `input` is read. `lines.idx`, `states.idx` and
`answers.idx` are arrays by ordinal (`domain.layout`), mapped and not loaded.

Trouble: `SourceChanged` when the bytes are not those that were read at intake.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from orchestrator.domain.layout import ANSWER, LINE, SIDE
from orchestrator.domain.planning import Int64s
from orchestrator.ports import SourceChanged
from orchestrator.spool import atomic
from orchestrator.spool.extents import Span, read_spans

Rows: TypeAlias = NDArray[np.void]

BLOCK_BYTES = 4 << 20
DIGEST_BYTES = 32

META = "meta.json"
INPUT = "input"
PLAIN = "plain"
OPTIONS = "options.toml"
LINES = "lines.idx"
STATES = "states.idx"
ANSWERS = "answers.idx"
FLAWS = "flaws.jsonl"
WARNINGS = "warnings.jsonl"
SIDE_FILE = "side.jsonl"
BLOCKS = "blocks.idx"
INDEX = "index.json"
_SHORTER = "{} is shorter than it was when it was claimed"


class Source:
    """The plain bytes of a claim, opened for reading. Closed by `close()` or as a context."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = plain_path(folder)
        self._file = atomic.open_read(self.path)
        self._side: int | None = None
        self.size = os.fstat(self._file).st_size
        self._digests = (folder / BLOCKS).read_bytes() if (folder / BLOCKS).exists() else b""

    @property
    def blocks(self) -> int:
        """How many blocks of `BLOCK_BYTES` the source has; the last one may be shorter."""
        return -(-self.size // BLOCK_BYTES)

    def read(self, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes; raises SourceChanged if they are no longer there."""
        return _read(self._file, offset, size, self.path)

    def spans(self, starts: Int64s, lengths: Int64s, gap_max: int) -> Sequence[Span]:
        """Read many spans, neighbours at once if at most `gap_max` apart; raises SourceChanged."""
        try:
            return read_spans(self._file, starts, lengths, gap_max)
        except EOFError as error:
            raise SourceChanged(_SHORTER.format(self.path)) from error

    def read_side(self, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes of the side file, where rewritten requests lie."""
        if self._side is None:
            self._side = atomic.open_read(self.folder / SIDE_FILE)
        return _read(self._side, offset, size, self.folder / SIDE_FILE)

    def request(self, line: Any) -> bytes:
        """Return a request's JSON as it lies there, without its defaults. `line` is a LINE row."""
        start = int(line["base"]) + int(line["request"])
        return self._reader(line)(start, int(line["length"]))

    def key(self, line: Any, ordinal: int) -> bytes:
        """Return the user's key as JSON, byte for byte, or the line's number as a JSON string."""
        if not line["key_length"]:
            return b'"%d"' % (ordinal + int(line["key"]))
        start = int(line["base"]) + int(line["key"])
        return self._reader(line)(start, int(line["key_length"]))

    def block(self, number: int) -> bytes:
        """Return a block if its bytes are still those of intake; raises SourceChanged."""
        begin = number * BLOCK_BYTES
        block = self.read(begin, min(BLOCK_BYTES, self.size - begin))
        if blake3(block).digest() != self._digest(number):
            raise SourceChanged(
                f"{self.path} has changed since it was claimed (bytes from {begin}); "
                "nothing more is sent from it: drop the file again"
            )
        return block

    def _digest(self, block: int) -> bytes:
        """Return the digest of a block as it was read at intake."""
        found = self._digests[block * DIGEST_BYTES : (block + 1) * DIGEST_BYTES]
        if len(found) != DIGEST_BYTES:
            raise SourceChanged(f"{self.path} is longer than it was when it was claimed")
        return found

    def close(self) -> None:
        """Close the files."""
        os.close(self._file)
        if self._side is not None:
            os.close(self._side)
            self._side = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _reader(self, line: Any) -> Callable[[int, int], bytes]:
        return self.read_side if int(line["flags"]) & SIDE else self.read


def plain_path(folder: Path) -> Path:
    """Return the file that offsets count in."""
    plain = folder / PLAIN
    return plain if plain.exists() else folder / INPUT


def open_lines(folder: Path) -> Rows:
    """Map `lines.idx` for reading: LINE rows by ordinal."""
    return map_lines(folder, writable=False)


def map_lines(folder: Path, *, writable: bool) -> Rows:
    """Map `lines.idx`; only intake itself writes it."""
    return _map(folder / LINES, LINE, writable=writable)


def open_states(folder: Path, *, writable: bool = False) -> NDArray[np.uint8]:
    """Map `states.idx`: one byte by ordinal. What is written is durable after `flush`."""
    return _map(folder / STATES, np.dtype(np.uint8), writable=writable)


def open_answers(folder: Path, *, writable: bool = False) -> Rows:
    """Map `answers.idx`: ANSWER rows by ordinal. What is written is durable after `flush`."""
    return _map(folder / ANSWERS, ANSWER, writable=writable)


def flush(folder: Path, names: Sequence[str]) -> None:
    """Make what was written through mappings of these files durable."""
    for name in names:
        atomic.fsync_path(folder / name)


def _map(path: Path, dtype: np.dtype[Any], *, writable: bool) -> NDArray[Any]:
    size = path.stat().st_size
    if not size:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r+" if writable else "r")


def _read(file: int, offset: int, size: int, path: Path) -> bytes:
    data = os.pread(file, size, offset)
    while len(data) < size:
        more = os.pread(file, size - len(data), offset + len(data))
        if not more:
            raise SourceChanged(_SHORTER.format(path))
        data += more
    return data
