"""Whole lines of a source → their index rows, flaws and key hashes.

A `Scanner` is given pieces that end with a line feed (or the file), one after the other. It holds
nothing but counts, so memory is that of one piece.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain import keys
from orchestrator.domain.layout import FLAWED, LINE, SIDE
from orchestrator.domain.requests import Entry, Rules, read_line
from orchestrator.domain.strictness import Flaw

BOM = b"\xef\xbb\xbf"
PLACE = np.dtype([("line", "<u4"), ("offset", "<u8")])  # line from 0 at the scanner's beginning


@dataclass(frozen=True, slots=True)
class Found:
    """A flaw and where it is, counted from the beginning of what the scanner was given.

    `line` counts from 0, blank lines included; `ordinal` counts the others; `offset` is the
    line's place in the source; `key` is the key's JSON, if it could be read.
    """

    line: int
    ordinal: int
    offset: int
    flaw: Flaw
    key: bytes


@dataclass(slots=True)
class Piece:
    """What one piece held: index rows, their keys' hashes (or `keys.NO_KEY`) and their places."""

    rows: NDArray[np.void]
    hashes: NDArray[np.uint64]
    places: NDArray[np.void]
    flaws: list[Found] = field(default_factory=list)
    warnings: list[Found] = field(default_factory=list)
    side: list[bytes] = field(default_factory=list)


class Scanner:
    """Reads lines by one set of rules and counts them."""

    def __init__(self, rules: Rules, line_bytes_max: int) -> None:
        self.rules = rules
        self.line_bytes_max = line_bytes_max
        self.lines = 0  # line feeds seen, blank lines included
        self.rows = 0
        self.keyless = 0
        self.side_bytes = 0

    def read(self, data: bytes, offset: int) -> Piece:
        """Read a piece of whole lines that lies at `offset` in the source."""
        piece = _Building(self, [])
        at = len(BOM) if offset == 0 and data.startswith(BOM) else 0
        while at < len(data):
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end
            piece.add(data[at:stop], offset + at)
            self.lines += 1
            at = stop + 1
        return piece.done()

    def too_long(self, offset: int) -> Piece:
        """Take note of a line that is too long and was not kept."""
        piece = _Building(self, [])
        piece.too_long(offset)
        self.lines += 1
        return piece.done()


class _Building:
    def __init__(self, scanner: Scanner, rows: list[tuple[int, ...]]) -> None:
        self.scanner = scanner
        self.rows = rows
        self.keys: list[bytes | None] = []
        self.places: list[tuple[int, int]] = []
        self.piece = Piece(np.zeros(0, LINE), np.zeros(0, np.uint64), np.zeros(0, PLACE))

    def add(self, line: bytes, offset: int) -> None:
        if not line.strip(b" \t\r"):
            return
        if len(line) > self.scanner.line_bytes_max:
            self.too_long(offset)
            return
        entry = read_line(line, self.scanner.rules)
        if isinstance(entry, Flaw):
            self.flaw(line, offset, entry)
        else:
            self.entry(line, offset, entry)

    def too_long(self, offset: int) -> None:
        limit = self.scanner.line_bytes_max
        self.flaw(b"", offset, Flaw("TOO_LONG", f"the line is longer than {limit} bytes"))

    def entry(self, line: bytes, offset: int, entry: Entry) -> None:
        key = line[entry.key : entry.key + entry.key_length]
        if entry.rewritten is None:
            self._row(
                offset, (offset, entry.start, entry.length, entry.key, len(key), entry.flags), key
            )
            return
        record = key + entry.rewritten
        base, flags = self.scanner.side_bytes, entry.flags | SIDE
        self._row(offset, (base, len(key), len(entry.rewritten), 0, len(key), flags), key)
        self.piece.side.append(record)
        self.scanner.side_bytes += len(record)

    def flaw(self, line: bytes, offset: int, flaw: Flaw) -> None:
        key = line[flaw.key : flaw.key + flaw.key_length]
        self.piece.flaws.append(Found(self.scanner.lines, self.scanner.rows, offset, flaw, key))
        self._row(offset, (offset, 0, 0, flaw.key, len(key), FLAWED), key)

    def _row(self, offset: int, row: tuple[int, int, int, int, int, int], key: bytes) -> None:
        scanner = self.scanner
        if not key:
            base, request, length, _, _, flags = row
            row = (base, request, length, scanner.lines - scanner.rows + 1, 0, flags)
            scanner.keyless += 1
        self.rows.append(row)
        self.keys.append(msgspec.json.decode(key, type=str).encode() if key else None)
        self.places.append((scanner.lines, offset))
        scanner.rows += 1

    def done(self) -> Piece:
        self.piece.rows = np.array(self.rows, LINE)
        self.piece.hashes = keys.hash_keys(self.keys)
        self.piece.places = np.array(self.places, PLACE)
        return self.piece
