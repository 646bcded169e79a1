"""Lines so long that a step of Python for each is nothing: the same layouts as `domain.usual`.

A request is found by the text around it and parsed alone, so it is exact by itself.
"""

import numpy as np

from orchestrator.domain.keys import ROW_BYTES_MAX, hash_key
from orchestrator.domain.usual import LAYOUTS, Layout, Lines, Spans, no_spans


def cut(data: bytes, size: int) -> Lines:
    """Find the lines in the first `size` bytes."""
    starts, stops = [], []
    at = 0
    while at < size:
        end = data.find(b"\n", at, size)
        stop = size if end < 0 else end
        starts.append(at)
        stops.append(stop - (stop > at and data[stop - 1 : stop] == b"\r"))
        at = stop + 1
    return Lines(np.array(starts, np.int64), np.array(stops, np.int64))


def find_spans(data: bytes, lines: Lines, bytes_max: int) -> Spans:
    """Find requests and keys by the known layouts."""
    spans = no_spans(lines.starts.size)
    bounds = zip(lines.starts.tolist(), lines.stops.tolist(), strict=True)
    for line, (start, stop) in enumerate(bounds):
        if stop - start <= bytes_max and data.endswith(b"}", start, stop):
            for layout in LAYOUTS:
                if data.startswith(layout.before or b"{", start):
                    _take(data, spans, line, (start, stop - layout.framed), layout)
                    break
    return spans


def _take(data: bytes, spans: Spans, line: int, bounds: tuple[int, int], layout: Layout) -> None:
    start, stop = bounds
    request = start + len(layout.before)
    if layout.after:
        end = data.find(b'"', request, request + ROW_BYTES_MAX)
        key = data[request:end]
        if end < 0 or not _is_plain(key) or not data.startswith(layout.after, end):
            return
        spans.keys[line], spans.key_stops[line] = request, end
        spans.hashes[line] = hash_key(key)
        request = end + len(layout.after)
    if request < stop - 1 and data.startswith(b"{", request) and data.endswith(b"}", 0, stop):
        spans.ok[line] = True
        spans.requests[line], spans.stops[line] = request, stop


def _is_plain(key: bytes) -> bool:
    return b"\\" not in key and (not key or min(key) >= 0x20)
