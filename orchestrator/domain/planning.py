"""The pool becomes parts: cut in order, balanced in size, never above a limit by a byte.

A stretch of the pool (what lies between two live envelopes) is measured first and then cut in
one pass. Before each part the rest is divided anew by the fewest parts that can hold it, so the
parts come out alike and none is a small rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from orchestrator.domain.ids import Ordinal

Int64s: TypeAlias = npt.NDArray[np.int64]
Runs: TypeAlias = npt.NDArray[np.uint64]  # shape (n, 2): the ordinals [lo, hi) of each run

UNBOUNDED = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class Measure:
    """How much something holds: bytes as sent, requests, estimated tokens."""

    bytes: int = 0
    count: int = 0
    tokens: int = 0

    def __add__(self, other: "Measure") -> "Measure":
        return Measure(
            self.bytes + other.bytes, self.count + other.count, self.tokens + other.tokens
        )

    def __sub__(self, other: "Measure") -> "Measure":
        return Measure(
            self.bytes - other.bytes, self.count - other.count, self.tokens - other.tokens
        )

    def within(self, bounds: "Measure") -> bool:
        """Tell whether none of the three is above its bound."""
        return (
            self.bytes <= bounds.bytes
            and self.count <= bounds.count
            and self.tokens <= bounds.tokens
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """One part of the pool: the runs of its ordinals, in order, and what they hold."""

    runs: Runs
    measure: Measure

    @property
    def lo(self) -> Ordinal:
        """Return its first ordinal."""
        return Ordinal(int(self.runs[0, 0]))

    @property
    def hi(self) -> Ordinal:
        """Return the ordinal behind its last one."""
        return Ordinal(int(self.runs[-1, 1]))


@dataclass(slots=True)
class Cutter:
    """Cuts one stretch of the pool that holds `rest` in all, fed in order and in pieces.

    No part is above `bounds` in any of the three, with one exception: a single request that is
    (the caller keeps out what is above a limit of the service) makes a part of its own.
    """

    bounds: Measure
    rest: Measure  # what no part holds yet
    _part: Measure = field(default_factory=Measure)
    _runs: list[Runs] = field(default_factory=list)

    def feed(self, ordinals: Int64s, sizes: Int64s, tokens: Int64s) -> Iterator[Cut]:
        """Take the next requests, in order; yields the parts that are complete."""
        sums = np.stack([sizes, np.ones_like(sizes), tokens]).cumsum(axis=1)
        begin = 0
        while begin < len(ordinals):
            end = self._end(sums, begin)
            if end > begin:
                self._part += _measure(sums, begin, end)
                self._runs.append(runs_of(ordinals[begin:end]))
            if end < len(ordinals):
                yield self._cut()
            begin = end

    def finish(self) -> Iterator[Cut]:
        """Yield the last part, if anything is left for it."""
        if self._part.count:
            yield self._cut()

    def _cut(self) -> Cut:
        cut = Cut(joined(self._runs), self._part)
        self.rest -= self._part
        self._part, self._runs = Measure(), []
        return cut

    def _end(self, sums: Int64s, begin: int) -> int:
        """Return where the present part ends: an index up to the length, which means: not yet."""
        base = _measure(sums, 0, begin)
        room = self.bounds - self._part + base
        fits = min(
            int(np.searchsorted(row, limit, side="right"))
            for row, limit in zip(sums, (room.bytes, room.count, room.tokens), strict=True)
        )
        end = min(fits, self._balanced(sums, base))
        first = begin if self._part.count else begin + 1  # a part is never empty
        return max(end, first)

    def _balanced(self, sums: Int64s, base: Measure) -> int:
        """Return the end nearest to an equal share of what is left for this part and the next."""
        bounds = (self.bounds.bytes, self.bounds.count, self.bounds.tokens)
        rests = (self.rest.bytes, self.rest.count, self.rest.tokens)
        shares = [-(-rest // bound) for rest, bound in zip(rests, bounds, strict=True)]
        parts = max(shares)
        if parts <= 1:
            return len(sums[0])
        row = shares.index(parts)  # what needs the most parts is what gets balanced
        held = (self._part.bytes, self._part.count, self._part.tokens)[row]
        before = (base.bytes, base.count, base.tokens)[row]
        target = -(-rests[row] // parts) - held + before
        end = int(np.searchsorted(sums[row], target))
        if end == len(sums[0]):
            return end
        short = target - (int(sums[row, end - 1]) if end else 0)
        over = int(sums[row, end]) - target
        return end + 1 if over <= short else end


def _measure(sums: Int64s, begin: int, end: int) -> Measure:
    if end == 0:
        return Measure()
    upper = sums[:, end - 1]
    lower = sums[:, begin - 1] if begin else np.zeros_like(upper)
    size, count, tokens = (upper - lower).tolist()
    return Measure(size, count, tokens)


def runs_of(ordinals: Int64s) -> Runs:
    """Return the runs of neighbours in ascending ordinals."""
    if not len(ordinals):
        return np.empty((0, 2), np.uint64)
    breaks = np.flatnonzero(np.diff(ordinals) != 1)
    runs = np.empty((len(breaks) + 1, 2), np.uint64)
    runs[0, 0] = ordinals[0]
    runs[1:, 0] = ordinals[breaks + 1]
    runs[:-1, 1] = ordinals[breaks] + 1
    runs[-1, 1] = ordinals[-1] + 1
    return runs


def joined(pieces: Sequence[Runs]) -> Runs:
    """Return the runs of several pieces that follow each other as one list of runs."""
    runs = np.concatenate(pieces)
    apart = runs[1:, 0] != runs[:-1, 1]
    whole = np.empty((int(apart.sum()) + 1, 2), np.uint64)
    whole[0, 0], whole[-1, 1] = runs[0, 0], runs[-1, 1]
    whole[1:, 0] = runs[1:, 0][apart]
    whole[:-1, 1] = runs[:-1, 1][apart]
    return whole


def ordinals_of(runs: Runs, size: int) -> Iterator[Int64s]:
    """Yield the ordinals of some runs in order, at most `size` at a time."""
    lengths = (runs[:, 1] - runs[:, 0]).astype(np.int64)
    ends = lengths.cumsum()
    total = int(ends[-1]) if len(ends) else 0
    for begin in range(0, total, size):
        places = np.arange(begin, min(begin + size, total))
        rows = np.searchsorted(ends, places, side="right")
        yield runs[rows, 0].astype(np.int64) + places - (ends[rows] - lengths[rows])


def stretches(
    live: Sequence[tuple[Ordinal, Ordinal]], requests: int
) -> list[tuple[Ordinal, Ordinal]]:
    """Return what lies between the live envelopes of a set, in order."""
    free: list[tuple[Ordinal, Ordinal]] = []
    start = 0
    for lo, hi in [*sorted(live), (requests, requests)]:
        if start < min(lo, requests):
            free.append((Ordinal(start), Ordinal(min(lo, requests))))
        start = max(start, hi)
    return free
