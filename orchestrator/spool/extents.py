"""Many small spans of a file, read with as few reads as their order allows."""

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise, repeat
from typing import TypeAlias

import numpy as np

from orchestrator.domain.planning import Int64s

EXTENT_BYTES_MAX = 1 << 20
VIEWED_BYTES = 1 << 10  # spans longer than that are shown where they were read, not copied

Span: TypeAlias = bytes | memoryview


def read_spans(file: int, starts: Int64s, lengths: Int64s, gap_max: int) -> Sequence[Span]:
    """Return the bytes of each span; neighbours at most `gap_max` bytes apart are read at once.

    Raises EOFError when the file ends before a span does.
    """
    ends = starts + lengths
    gaps = starts[1:] - ends[:-1]
    apart = (gaps < 0) | (gaps > gap_max)
    if 2 * int(apart.sum()) > len(starts):
        return _scattered(file, starts.tolist(), lengths.tolist())
    are_long = int(lengths.sum()) > VIEWED_BYTES * len(lengths)
    found: list[Span] = []
    bounds = [0, *(apart.nonzero()[0] + 1).tolist(), len(starts)]
    for first, last in pairwise(bounds):
        for begin, end in _bounded(starts, ends, first, last):
            base = int(starts[begin])
            read = read_exactly(file, base, int(ends[end - 1]) - base)
            data: Span = memoryview(read) if are_long else read
            opens, closes = (starts[begin:end] - base).tolist(), (ends[begin:end] - base).tolist()
            found += [data[at:stop] for at, stop in zip(opens, closes, strict=True)]
    return found


def _scattered(file: int, starts: list[int], lengths: list[int]) -> Sequence[Span]:
    """Read each span for itself, with nothing around the system calls."""
    found = list(map(os.pread, repeat(file), lengths, starts))
    if list(map(len, found)) == lengths:
        return found
    return list(map(read_exactly, repeat(file), starts, lengths))


def read_exactly(file: int, offset: int, size: int) -> bytes:
    """Read at an offset; raises EOFError when the file ends before."""
    data = os.pread(file, size, offset)
    while len(data) < size:
        more = os.pread(file, size - len(data), offset + len(data))
        if not more:
            raise EOFError(f"{size} bytes at {offset} are no longer there")
        data += more
    return data


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
