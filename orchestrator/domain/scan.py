"""Whole lines of a source → their index rows, flaws and key hashes.

A `Scanner` is given pieces that end with a line feed (or the file), one after the other. It holds
nothing but counts, so memory is a few times that of one piece.
"""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain import keys, long_lines, shapes, usual
from orchestrator.domain.layout import FLAWED, LINE, SIDE
from orchestrator.domain.parsing import Parser
from orchestrator.domain.requests import Entry, Rules, read_line
from orchestrator.domain.strictness import Flaw
from orchestrator.domain.usual import Lines, Spans

BOM = b"\xef\xbb\xbf"
LONG_BYTES = 1 << 13  # of a line, on average
# Each how many-th piece is looked at for shapes: a warning is for what a set has often.
_SHAPED = {"off": 1 << 62, "warn": 16, "flaw": 1}
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
        self._pieces = 1 if rules.shape == "off" else 0
        self._layout = usual.LAYOUTS[0]
        self._padded = np.zeros(0, np.uint8)
        self._parser = Parser(rules)
        self._checker = shapes.Checker(rules.kind)

    def read(self, data: bytes, offset: int, size: int | None = None) -> Piece:
        """Read whole lines that lie at `offset` in the source: the first `size` bytes of `data`."""
        size = len(data) if size is None else size
        view = memoryview(data)[:size]
        padded: usual.Bytes | None = None
        if size > LONG_BYTES and data.count(b"\n", 0, 8 * LONG_BYTES) < 8:
            lines = long_lines.cut(data, size)
            spans = long_lines.find_spans(data, lines, self.line_bytes_max)
        else:
            padded = self._pad(view)
            lines = usual.cut(padded[:size])
            spans, self._layout = usual.find_spans(padded, lines, self.line_bytes_max, self._layout)
        if offset == 0 and data.startswith(BOM):
            lines.starts[0] = min(len(BOM), int(lines.stops[0]))
        shaped = self._pieces % _SHAPED[self.rules.shape] == 0
        self._pieces += 1
        flags, findings = self._parser.accept(view, padded, lines, spans, shaped=shaped)
        piece = self._piece(view, offset, lines, spans, flags)
        self._read_others(piece, view, lines, spans, findings)
        return piece

    def too_long(self, offset: int) -> Piece:
        """Take note of a line that is too long and was not kept."""
        rows, places = np.zeros(1, LINE), np.zeros(1, PLACE)
        piece = Piece(rows, np.full(1, keys.NO_KEY, np.uint64), places)
        piece.flaws.append(Found(self.lines, self.rows, offset, self._length_flaw(), b""))
        rows[0] = (offset, 0, 0, self.lines - self.rows + 1, 0, FLAWED)
        places[0] = (self.lines, offset)
        self.lines += 1
        self.rows += 1
        self.keyless += 1
        return piece

    def _pad(self, data: memoryview) -> usual.Bytes:
        size = len(data) + usual.PAD_BYTES
        if self._padded.size < size:
            self._padded = np.zeros(size, np.uint8)
        padded = self._padded[:size]
        padded[: len(data)] = np.frombuffer(data, np.uint8)
        padded[len(data) :] = 0
        return padded

    # ---- the rows -------------------------------------------------------------------------------

    def _piece(
        self,
        data: memoryview,
        offset: int,
        lines: Lines,
        spans: Spans,
        flags: NDArray[np.uint16],
    ) -> Piece:
        """Lay out the rows of all lines, right for those that need no exact reading."""
        numbers = self.lines + np.arange(lines.starts.size)
        rows = np.zeros(lines.starts.size, LINE)
        rows["base"] = lines.starts + offset
        rows["request"] = spans.requests - lines.starts
        rows["length"] = spans.stops - spans.requests
        rows["flags"] = flags
        keyed = spans.keys >= 0
        rows["key"] = np.where(keyed, spans.keys - 1 - lines.starts, 0)
        rows["key_length"] = np.where(keyed, spans.key_stops - spans.keys + 2, 0)
        places = np.zeros(lines.starts.size, PLACE)
        places["line"] = numbers
        places["offset"] = rows["base"]
        return Piece(rows, spans.hashes, places)

    def _read_others(
        self,
        piece: Piece,
        data: memoryview,
        lines: Lines,
        spans: Spans,
        findings: dict[int, str],
    ) -> None:
        """Read the other lines exactly, leave out the blank ones, and count."""
        count = lines.starts.size
        texts = {
            line: bytes(data[lines.starts[line] : lines.stops[line]])
            for line in np.flatnonzero(~spans.ok).tolist()
        }
        kept = np.ones(count, np.bool_)
        kept[[line for line, text in texts.items() if not text.strip(b" \t\r")]] = False
        ordinals = self.rows + np.cumsum(kept) - 1
        for line, text in texts.items():
            if kept[line]:
                self._read_exactly(piece, line, text, int(ordinals[line]))
        for line, finding in findings.items():
            self._warn(piece, line, int(ordinals[line]), finding)
        piece.warnings.sort(key=lambda found: found.line)
        keyless = piece.rows["key_length"] == 0
        piece.rows["key"][keyless] = (piece.places["line"] - ordinals + 1)[keyless]
        self.lines += count
        self.rows += int(np.count_nonzero(kept))
        self.keyless += int(np.count_nonzero(keyless & kept))
        if not kept.all():
            piece.rows, piece.hashes = piece.rows[kept], piece.hashes[kept]
            piece.places = piece.places[kept]

    def _read_exactly(self, piece: Piece, line: int, text: bytes, ordinal: int) -> None:
        """Read one unusual line into its row."""
        entry: Entry | Flaw
        if len(text) > self.line_bytes_max:
            text, entry = b"", self._length_flaw()
        else:
            entry = read_line(text, self.rules)
        if isinstance(entry, Entry) and self.rules.shape != "off":
            finding = self._shape(text, entry)
            if finding is not None and self.rules.shape == "warn":
                self._warn(piece, line, ordinal, finding)
            elif finding is not None:
                entry = Flaw("SHAPE", finding, 1, entry.key, entry.key_length)
        key = text[entry.key : entry.key + entry.key_length]
        offset = int(piece.places[line]["offset"])
        if isinstance(entry, Flaw):
            piece.flaws.append(Found(self.lines + line, ordinal, offset, entry, key))
            piece.rows[line] = (offset, 0, 0, entry.key, len(key), FLAWED)
        else:
            piece.rows[line] = self._row(piece, offset, key, entry)
        piece.hashes[line] = keys.hash_key(_decoded(key)) if key else keys.NO_KEY

    def _row(self, piece: Piece, offset: int, key: bytes, entry: Entry) -> tuple[int, ...]:
        if entry.rewritten is None:
            return offset, entry.start, entry.length, entry.key, len(key), entry.flags
        base = self.side_bytes
        piece.side.append(key + entry.rewritten)
        self.side_bytes += len(key) + len(entry.rewritten)
        return base, len(key), len(entry.rewritten), 0, len(key), entry.flags | SIDE

    def _shape(self, text: bytes, entry: Entry) -> str | None:
        if entry.strays:
            return f'unknown member "{entry.strays[0]}" beside "request"'
        request = entry.rewritten or text[entry.start : entry.start + entry.length]
        return self._checker.finding(request)

    def _warn(self, piece: Piece, line: int, ordinal: int, finding: str) -> None:
        offset = int(piece.places[line]["offset"])
        flaw = Flaw("SHAPE", finding, 1)
        piece.warnings.append(Found(self.lines + line, ordinal, offset, flaw, b""))

    def _length_flaw(self) -> Flaw:
        return Flaw("TOO_LONG", f"the line is longer than {self.line_bytes_max} bytes")


def _decoded(key: bytes) -> bytes:
    return msgspec.json.decode(key, type=str).encode()
