"""What a worker does at intake: read a byte range of a source and write the parts of its index.

A range owns the lines that *begin* in it, and the digests of its blocks. Parts are scratch under
`index/`: `spool.index` puts them together, and they are written again when anything was lost.
Memory is a few times a piece, or one line.
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

PIECE_BYTES = 1 << 20
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
    piece_bytes: int = PIECE_BYTES


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
    """Read the lines that begin in the range; the digests are of all bytes in it.

    Each read begins where a line begins, so no bytes are held back and joined to others; the
    beginning of the line at the end of a read is read again with the next.
    """
    file = atomic.open_read(order.source)
    digests = _Digests(order, parts)
    try:
        at = _first_line(file, order.start)
        digests.add(file, order.start, at)
        while at < order.stop:
            data = os.pread(file, order.piece_bytes, at)
            size = _whole_lines(data, order.stop - at)
            if not size and len(data) == order.piece_bytes:
                data, size = _long_line(file, at, order.line_bytes_max)
            size = size or len(data)
            if not size:
                break  # the source became shorter: the missing digests tell
            digests.update(at, data, size)
            if size <= len(data):
                yield scanner.read(data, at, size)
            else:
                digests.add(file, at, at + size)
                yield scanner.too_long(at)
            at += size
        digests.finish()
    finally:
        os.close(file)


def _first_line(file: int, start: int) -> int:
    """Return where the first line begins that does not begin before `start`."""
    return start if start == 0 else _after_line(file, start - 1)


def _after_line(file: int, at: int) -> int:
    """Return where the line ends (its line feed included) that the byte at `at` belongs to."""
    while data := os.pread(file, PIECE_BYTES, at):
        end = data.find(b"\n")
        if end >= 0:
            return at + end + 1
        at += len(data)
    return at


def _whole_lines(data: bytes, stop: int) -> int:
    """Return how many bytes of `data` are whole lines that begin before `stop`; 0 if none ends."""
    if len(data) >= stop:
        end = data.find(b"\n", stop - 1)
        if end >= 0:
            return end + 1
    return data.rfind(b"\n") + 1


def _long_line(file: int, at: int, bytes_max: int) -> tuple[bytes, int]:
    """Read one line that does not fit into a piece; its size is beyond its data if too long."""
    end = _after_line(file, at)
    if end - at > bytes_max + len(b"\r\n"):
        return b"", end - at
    return os.pread(file, end - at, at), end - at


class _Digests:
    """Digests a range's blocks, from its first byte to its last, whatever lines do."""

    def __init__(self, order: Range, parts: "_Parts") -> None:
        self._at = order.start
        self._stop = order.stop
        self._parts = parts
        self._digest = blake3()

    def update(self, at: int, data: bytes, size: int) -> None:
        """Take the next bytes, which lie at `at`."""
        view = memoryview(data)[: min(size, max(0, self._stop - at))]
        while view:
            bite = view[: BLOCK_BYTES - self._at % BLOCK_BYTES]
            self._digest.update(bite)
            self._at += len(bite)
            view = view[len(bite) :]
            if self._at % BLOCK_BYTES == 0:
                self._write()

    def add(self, file: int, start: int, stop: int) -> None:
        """Take bytes that are of no other use."""
        for at in range(start, min(stop, self._stop), PIECE_BYTES):
            data = os.pread(file, min(PIECE_BYTES, stop - at), at)
            self.update(at, data, len(data))

    def finish(self) -> None:
        """Write the digest of a last block that is not whole."""
        if self._at % BLOCK_BYTES:
            self._write()

    def _write(self) -> None:
        self._parts.write("blocks", self._digest.digest())
        self._digest = blake3()


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
