"""What a worker does at intake: read a byte range of a source and write the parts of its index.

A range owns the lines that *begin* in it, and the digests of its blocks. Parts are scratch under
`index/`: `spool.index` puts them together, and they are written again when anything was lost.
Memory is a few pieces of 256 KiB, or one line.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec
from blake3 import blake3

from orchestrator.domain.requests import Rules
from orchestrator.domain.scan import Found, Piece, Scanner
from orchestrator.spool import atomic
from orchestrator.spool.source import BLOCK_BYTES

PIECE_BYTES = 1 << 18
RANGE_BYTES = 16 * BLOCK_BYTES
SCRATCH = "index"
PARTS = ("lines", "hashes", "places", "side", "flaws", "warnings", "blocks")


@dataclass(frozen=True, slots=True)
class Range:
    """One range of one source, and how to read it; `start` is a multiple of BLOCK_BYTES."""

    folder: Path
    source: Path
    part: int
    start: int
    stop: int
    rules: Rules
    line_bytes_max: int
    flaws_kept_max: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What a range held."""

    part: int
    lines: int
    rows: int
    keyless: int
    flawed: int
    warnings: int
    side_bytes: int


class FlawRecord(msgspec.Struct):
    """A line of flaws.jsonl or warnings.jsonl; in a part it counts from the part's beginning."""

    line: int
    ordinal: int
    offset: int
    column: int
    code: str
    message: str
    key: msgspec.Raw = msgspec.Raw(b"null")  # a Raw cannot be in a union


def scan_range(order: Range) -> Counted:
    """Read a range and write its parts; the same again writes the same."""
    scanner = Scanner(order.rules, order.line_bytes_max)
    flawed = warnings = 0
    with _Parts(order) as parts:
        for piece in _read(order, scanner, parts):
            parts.write("lines", piece.rows.tobytes())
            parts.write("hashes", piece.hashes.tobytes())
            parts.write("places", piece.places.tobytes())
            parts.write("side", b"".join(piece.side))
            for name, found, kept in (
                ("flaws", piece.flaws, flawed),
                ("warnings", piece.warnings, warnings),
            ):
                room = max(0, order.flaws_kept_max - kept)
                parts.write(name, b"".join(map(_record, found[:room])))
            flawed += len(piece.flaws)
            warnings += len(piece.warnings)
    return Counted(
        order.part,
        scanner.lines,
        scanner.rows,
        scanner.keyless,
        flawed,
        warnings,
        scanner.side_bytes,
    )


def part_path(folder: Path, part: int, name: str) -> Path:
    """Return where a range's part of the index lies."""
    return folder / SCRATCH / f"{part:06}.{name}"


def _record(found: Found) -> bytes:
    flaw = found.flaw
    record = FlawRecord(
        found.line,
        found.ordinal,
        found.offset,
        flaw.column,
        flaw.code,
        flaw.message,
        msgspec.Raw(found.key or b"null"),
    )
    return msgspec.json.encode(record) + b"\n"


def _read(order: Range, scanner: Scanner, parts: "_Parts") -> Iterator[Piece]:
    file = atomic.open_read(order.source)
    try:
        held: list[bytes] = []
        held_at = order.start
        held_bytes = 0
        skipping = order.start > 0 and os.pread(file, 1, order.start - 1) != b"\n"
        for at, data, last in _own(file, order, parts):
            begin = 0
            if skipping:
                begin = data.find(b"\n") + 1
                if not begin:
                    continue
                skipping = False
            cut = len(data) if last else data.rfind(b"\n") + 1
            if cut > begin:
                whole = b"".join((*held, data[begin:cut]))
                yield scanner.read(whole, held_at if held else at + begin)
                held.clear()
                held_bytes = 0
                begin = cut
            if begin < len(data):
                held_at = held_at if held else at + begin
                held.append(data[begin:])
                held_bytes += len(data) - begin
            if held_bytes > order.line_bytes_max:
                yield scanner.too_long(held_at)
                held.clear()
                held_bytes = 0
                skipping = True
        if held:
            yield scanner.read(b"".join(held), held_at)
    finally:
        os.close(file)


def _own(file: int, order: Range, parts: "_Parts") -> Iterator[tuple[int, bytes, bool]]:
    """Read to the end of the last line that begins before `stop`; digest the blocks on the way.

    Yields (offset, bytes, whether this ends the range's last line).
    """
    digest = blake3()
    at = order.start
    while data := os.pread(file, min(PIECE_BYTES, BLOCK_BYTES - at % BLOCK_BYTES), at):
        if at < order.stop:
            digest.update(data[: order.stop - at])
        after = at + len(data)
        if at < order.stop and (after % BLOCK_BYTES == 0 or after >= order.stop):
            parts.write("blocks", digest.digest())
            digest = blake3()
        end = data.find(b"\n", max(order.stop - 1 - at, 0)) + 1 if after >= order.stop else 0
        if end:
            yield at, data[:end], True
            return
        yield at, data, False
        at = after


class _Parts:
    def __init__(self, order: Range) -> None:
        self.paths = {name: part_path(order.folder, order.part, name) for name in PARTS}
        self.files = {name: atomic.create(path) for name, path in self.paths.items()}

    def write(self, name: str, data: bytes) -> None:
        if data:
            atomic.write_all(self.files[name], data, self.paths[name])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            os.close(file)
