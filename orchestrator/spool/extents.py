"""Many small spans of a file, read with as few reads as their order allows."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeAlias

import numpy as np

from orchestrator.domain.planning import Int64s

ReadAt: TypeAlias = Callable[[int, int], bytes]  # (offset, size)

EXTENT_BYTES_MAX = 1 << 19


def read_spans(read: ReadAt, starts: Int64s, lengths: Int64s, gap_max: int) -> list[bytes]:
    """Return the bytes of each span; neighbours at most `gap_max` bytes apart are read at once."""
    ends = starts + lengths
    gaps = starts[1:] - ends[:-1]
    apart = (gaps < 0) | (gaps > gap_max)
    if 2 * int(apart.sum()) > len(starts):  # scattered: a read each
        return list(map(read, starts.tolist(), lengths.tolist()))
    found: list[bytes] = []
    bounds = [0, *(np.flatnonzero(apart) + 1).tolist(), len(starts)]
    for first, last in pairwise(bounds):
        for begin, end in _bounded(starts, ends, first, last):
            base = int(starts[begin])
            data = read(base, int(ends[end - 1]) - base)
            opens, closes = (starts[begin:end] - base).tolist(), (ends[begin:end] - base).tolist()
            found += [data[at:stop] for at, stop in zip(opens, closes, strict=True)]
    return found


def split_by_bytes(sizes: Int64s, bytes_max: int, count_max: int) -> Iterator[tuple[int, int]]:
    """Yield index ranges that sum to at most `bytes_max`, or hold one item, and not too many."""
    ends = sizes.cumsum()
    begin = 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = int(np.searchsorted(ends, before + bytes_max, side="right"))
        end = min(max(end, begin + 1), begin + count_max)
        yield begin, end
        begin = end


def _bounded(starts: Int64s, ends: Int64s, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Yield index ranges of neighbours, each within what is read at once."""
    while first < last:
        limit = int(starts[first]) + EXTENT_BYTES_MAX
        if ends[last - 1] <= limit:
            yield first, last
            return
        end = max(first + int(np.searchsorted(ends[first:last], limit, side="right")), first + 1)
        yield first, end
        first = end
