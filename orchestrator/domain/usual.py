"""Lines in the usual layouts, a whole block at a time, by arithmetic on arrays.

Nearly every writer makes `{"key": "K", "request": R}`, with or without blanks, or leaves the key
out. For these a block of lines is read without a Python step per line: the text before and after K
is compared where it must be, then overwritten with blanks, so that a line feed separates one
request from the next, and one call of the parser reads them all.

Why that is exact. Every line of such a block begins with `{` and ends with `}` (blanks aside).
Inside a JSON value no `{` may follow a `}` without something between them, and no string may hold
a line feed; so every line feed lies between two requests, and as there are as many requests as
lines, each line holds exactly one. With the text that was blanked, which is known byte for byte,
the line is exactly `{"key": "K", "request": R}`: no member comes twice, none is left out.

Whatever is in the least unusual is left to the exact reading of `domain.requests`: the two agree.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.keys import NO_KEY, ROW_BYTES_MAX, hash_rows

Bytes: TypeAlias = NDArray[np.uint8]
Places: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

PAD_BYTES = 512  # behind each block, so that windows may reach over its end
WINDOWS = (40, 136, 328)  # how far to look for the end of a key
LF, CR, QUOTE, BACKSLASH, SPACE, OPEN, CLOSE = b'\n\r"\\ {}'
_BLANKS = np.uint64(0x2020202020202020)

assert max(WINDOWS) == ROW_BYTES_MAX < PAD_BYTES


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands before and after a key; without `after` no key, without both no frame."""

    before: bytes
    after: bytes

    @property
    def framed(self) -> bool:
        """Whether the request is a member of the line and not the line itself."""
        return bool(self.before)


LAYOUTS = (
    Layout(b'{"key": "', b'", "request": '),
    Layout(b'{"key":"', b'","request":'),
    Layout(b'{"metadata": {"key": "', b'"}, "request": '),
    Layout(b'{"metadata":{"key":"', b'"},"request":'),
    Layout(b'{"request": ', b""),
    Layout(b'{"request":', b""),
    Layout(b"", b""),
)


@dataclass(frozen=True, slots=True)
class Lines:
    """Where the lines of a block begin and end (a carriage return at the end left out)."""

    starts: Places
    stops: Places


@dataclass(slots=True)
class Spans:
    """Where the requests and keys lie; `ok` tells for which lines that is known.

    `keys` and `key_stops` are what stands between a key's quotes, -1 where there is no key;
    `hashes` are those of the keys.
    """

    ok: Mask
    requests: Places
    stops: Places
    keys: Places
    key_stops: Places
    hashes: NDArray[np.uint64]


def cut(block: Bytes) -> Lines:
    """Find the lines of a block."""
    found = np.zeros(-(-block.size // 8) * 8, np.bool_)
    np.equal(block, LF, out=found[: block.size])
    groups = (found.view(np.uint64) != 0).nonzero()[0]
    places = found.reshape(-1, 8)[groups].ravel().nonzero()[0]
    ends = groups[places >> 3] * 8 + (places & 7)
    if block.size and block[-1] != LF:
        ends = np.append(ends, block.size)
    starts = np.zeros(ends.size, np.int64)
    np.add(ends[:-1], 1, out=starts[1:])
    stops = ends - ((ends > starts) & (block[ends - 1] == CR))
    return Lines(starts, stops)


def find_spans(padded: Bytes, lines: Lines, bytes_max: int, first: Layout) -> tuple[Spans, Layout]:
    """Find requests and keys by the known layouts, `first` before the others.

    `padded` is the block with `PAD_BYTES` behind it. Also returns the layout of the most lines.
    """
    spans = no_spans(lines.starts.size)
    length = lines.stops - lines.starts
    left = np.flatnonzero(
        (padded[lines.starts] == OPEN)
        & (padded[lines.stops - 1] == CLOSE)
        & (length > 1)
        & (length <= bytes_max)
    )
    most, matched_most = first, 0
    for layout in (first, *(each for each in LAYOUTS if each is not first)):
        if not left.size:
            break
        matched = _match(padded, lines, left, layout, spans)
        if np.count_nonzero(matched) > matched_most:
            most, matched_most = layout, int(np.count_nonzero(matched))
        left = left[~matched]
    return spans, most


def no_spans(count: int) -> Spans:
    """Return the spans of so many lines of which nothing is known."""
    places = np.full((4, count), -1, np.int64)
    hashes = np.full(count, NO_KEY, np.uint64)
    return Spans(np.zeros(count, np.bool_), places[0], places[1], places[2], places[3], hashes)


def _match(padded: Bytes, lines: Lines, left: Places, layout: Layout, spans: Spans) -> Mask:
    """Take over the lines among `left` that have this layout; returns which."""
    starts, stops = lines.starts[left], lines.stops[left] - layout.framed
    matched = _is_at(padded, starts, layout.before)
    keys = key_stops = starts + len(layout.before)
    requests = keys if layout.framed else starts
    hashes = spans.hashes[left]
    if layout.after:
        lengths, hashes = _read_keys(padded, keys, matched)
        key_stops = keys + lengths
        matched &= (lengths >= 0) & _is_at(padded, key_stops, layout.after)
        requests = key_stops + len(layout.after)
    matched &= requests < stops - 1
    inside = np.where(matched, requests, starts)
    matched &= (padded[inside] == OPEN) & (padded[stops - 1] == CLOSE)
    if matched.all():
        chosen: Any = left
    else:
        chosen, requests, stops = left[matched], requests[matched], stops[matched]
        keys, key_stops, hashes = keys[matched], key_stops[matched], hashes[matched]
    spans.ok[chosen] = True
    spans.requests[chosen] = requests
    spans.stops[chosen] = stops
    if layout.after:
        spans.keys[chosen] = keys
        spans.key_stops[chosen] = key_stops
        spans.hashes[chosen] = hashes
    return matched


def _is_at(padded: Bytes, places: Places, text: bytes) -> Mask:
    """Tell at which places this text, of eight bytes at least or none, stands."""
    same = np.ones(places.size, np.bool_)
    words = words_at_each_place(padded)
    for step in [*range(0, len(text) - 8, 8), len(text) - 8] if text else []:
        word = np.frombuffer(text, np.uint64, 1, step)[0]
        same &= words[np.minimum(places + step, words.size - 1)] == word
    return same


def _read_keys(padded: Bytes, keys: Places, wanted: Mask) -> tuple[Places, NDArray[np.uint64]]:
    """Return the lengths and hashes of plain keys; length -1 where a key is not quite plain."""
    lengths = np.full(keys.size, -1, np.int64)
    hashes = np.full(keys.size, NO_KEY, np.uint64)
    left = wanted.nonzero()[0]
    for width in WINDOWS:
        if not left.size:
            break
        window = _windows(padded, keys[left], width)
        quotes = window == QUOTE
        at = quotes.argmax(1)
        closed = quotes[np.arange(left.size), at]
        inside = np.arange(width, dtype=np.uint16) < at.astype(np.uint16)[:, None]
        window *= inside
        odd = ((window == BACKSLASH) | (window < SPACE)) & inside
        plain = closed & ~odd.any(1) if odd.any() else closed
        lengths[left] = np.where(plain, at, -1)
        hashes[left] = hash_rows(window, at)
        left = left[~closed]
    return lengths, hashes


def words_at_each_place(padded: Bytes) -> NDArray[np.uint64]:
    """Return the eight bytes from each place on, as one number."""
    return np.ndarray((padded.size - 7,), np.uint64, padded, strides=(1,))


def _windows(padded: Bytes, places: Places, width: int) -> Bytes:
    """Copy `width` bytes from each place into the rows of an array."""
    rolling: NDArray[Any] = np.ndarray(
        (padded.size - width + 1,), f"V{width}", padded, strides=(1,)
    )
    return rolling[np.minimum(places, rolling.size - 1)].view(np.uint8).reshape(-1, width)


def bare_requests(padded: Bytes, size: int, lines: Lines, spans: Spans) -> memoryview:
    """Blank all of a block but its requests, in place."""
    ok = np.flatnonzero(spans.ok)
    starts, ahead = lines.starts[ok], spans.requests[ok] - lines.starts[ok]
    framed = ahead > 0
    words = words_at_each_place(padded)
    starts_framed, ahead_framed = starts[framed], ahead[framed]
    for step in range(0, int(np.max(ahead, initial=0)), 8):
        words[starts_framed + np.minimum(step, ahead_framed - 8)] = _BLANKS
    padded[spans.stops[ok][framed]] = SPACE
    padded[: lines.starts[0]] = SPACE  # a byte order mark
    for line in np.flatnonzero(~spans.ok).tolist():
        padded[lines.starts[line] : lines.stops[line]] = SPACE
    return memoryview(padded.data)[:size]
