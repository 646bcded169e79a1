"""Many small spans of a file, read with as few reads as their order allows."""

import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from orchestrator.domain.planning import Int64s

ReadAt: TypeAlias = Callable[[int, int], bytes]  # (offset, size)

EXTENT_BYTES_MAX = 1 << 18


def read_spans(read: ReadAt, starts: Int64s, lengths: Int64s, gap_max: int) -> list[bytes]:
    """Return the bytes of each span; neighbours at most `gap_max` bytes apart are read at once."""
    found: list[bytes] = []
    ends = starts + lengths
    for first, last in _extents(starts, ends, gap_max):
        base = int(starts[first])
        if last == first + 1:
            found.append(read(base, int(lengths[first])))
            continue
        data = read(base, int(ends[last - 1]) - base)
        begins = (starts[first:last] - base).tolist()
        stops = (ends[first:last] - base).tolist()
        found += [data[begin:stop] for begin, stop in zip(begins, stops, strict=True)]
    return found


def _extents(starts: Int64s, ends: Int64s, gap_max: int) -> Iterator[tuple[int, int]]:
    """Yield index ranges of spans that follow each other closely, each within a bound."""
    gaps = starts[1:] - ends[:-1]
    breaks = np.flatnonzero((gaps < 0) | (gaps > gap_max)) + 1
    bounds = [0, *breaks.tolist(), len(starts)]
    for first, last in pairwise(bounds):
        while first < last:
            limit = int(starts[first]) + EXTENT_BYTES_MAX
            fit = first + int(np.searchsorted(ends[first:last], limit, side="right"))
            stop = max(fit, first + 1)
            yield first, stop
            first = stop  # noqa: PLW2901 - the rest of the same stretch


def pread_exactly(file: int, offset: int, size: int) -> bytes:
    """Read so many bytes; raises EOFError if the file is too short."""
    data = os.pread(file, size, offset)
    while len(data) < size:
        more = os.pread(file, size - len(data), offset + len(data))
        if not more:
            raise EOFError(f"{size} bytes at {offset} are not there")
        data += more
    return data
