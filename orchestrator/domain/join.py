"""Answers meet their ordinals: what each request of one batch became, decided once.

The first answer to an ordinal settles it. Doubled ones are counted and never overwrite; what
was written before by the same join is recognised by where it points, so a join can be repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from orchestrator.domain.batches import Tally
from orchestrator.domain.failures import (
    DATA_LOSS,
    failure,
    given_up,
    malformed,
    with_history,
)
from orchestrator.domain.found import NO_KEY, RESPONSE, WHY, Found
from orchestrator.domain.layout import (
    ANSWER,
    GENERATION_MAX,
    GENERATION_SHIFT,
    OFFSET_BITS,
    OFFSET_MASK,
    Settled,
)
from orchestrator.domain.planning import Int64s, Runs

Bytes: TypeAlias = npt.NDArray[np.uint8]
Bools: TypeAlias = npt.NDArray[np.bool_]
Answers: TypeAlias = npt.NDArray[np.void]  # of dtype ANSWER
Record: TypeAlias = tuple[int, bytes]  # whence an error comes (a `where`), its JSON

LOW = np.uint8((1 << GENERATION_SHIFT) - 1)  # the nibble of a state byte that is `Settled`
NO_ANSWER = "the service's answers do not contain this request"
UNTOUCHED = 0xFF  # a fate: the state stays as it is


class Errors(Protocol):
    """The raw errors that answers.idx points at, and a place for those of our own making."""

    def read(self, where: int, length: int) -> bytes:
        """Return the JSON that a row of answers.idx points at."""

    def origin(self, where: int) -> int:
        """Return whence it comes: itself, or what was noted when it was kept."""

    def keep(self, records: Sequence[Record]) -> Sequence[tuple[int, int]]:
        """Append errors durably; returns (where, length) for each."""


class Index(Protocol):
    """The index of a set, by ordinal, as far as settling needs it."""

    @property
    def states(self) -> Bytes: ...
    @property
    def answers(self) -> Answers: ...
    @property
    def errors(self) -> Errors: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """By which rules the answers of one batch settle; `last`: no generation may follow."""

    serial: int
    generation: int
    retryable: frozenset[int]
    last: bool

    def state(self, settled: Settled) -> int:
        """Return the byte of a request that this generation tried."""
        return int(settled) | min(self.generation, GENERATION_MAX) << GENERATION_SHIFT

    @property
    def nowhere(self) -> int:
        """Return the origin of an error of this batch that no answer told."""
        return self.serial << OFFSET_BITS | OFFSET_MASK


@dataclass(frozen=True, slots=True)
class Places:
    """The requests of one batch, numbered from 0 in the order in which they were sent."""

    runs: Runs

    @property
    def count(self) -> int:
        """Return how many requests there are."""
        return int((self.runs[:, 1] - self.runs[:, 0]).sum())

    def of(self, ordinals: Int64s) -> Int64s:
        """Return the place of each ordinal, -1 for what is not in the batch."""
        if len(self.runs) == 1:
            low, high = self.runs[0].tolist()
            return np.where((ordinals >= low) & (ordinals < high), ordinals - low, -1)
        lows, highs = self.runs[:, 0].astype(np.int64), self.runs[:, 1].astype(np.int64)
        before = (highs - lows).cumsum() - (highs - lows)
        rows = np.searchsorted(lows, ordinals, side="right") - 1
        there = (rows >= 0) & (ordinals < highs[rows])
        return np.where(there, before[rows] + ordinals - lows[rows], -1)


@dataclass(slots=True)
class Counting:
    """What the answers are, before anything is written: lines, strangers, doubles."""

    places: Places
    lines: int = 0
    doubled: int = 0
    foreign: int = 0
    malformed: int = 0
    _seen: Bools = field(init=False)

    def __post_init__(self) -> None:
        self._seen = np.zeros(self.places.count, np.bool_)

    def first(self, found: Found) -> Found:
        """Count some lines; returns those that are the first for a request of the batch."""
        places = self.places.of(found["ordinal"])
        self.lines += len(found)
        self.malformed += int((found["code"] < RESPONSE).sum())
        self.foreign += int(((places < 0) & (found["ordinal"] != NO_KEY)).sum())
        found, places = found[places >= 0], places[places >= 0]
        fresh = _first_of_each(places) & ~self._seen[places]
        self.doubled += int((~fresh).sum())
        self._seen[places[fresh]] = True
        first: Found = found[fresh]
        return first

    def missing(self) -> Bools:
        """Return which places no line answered."""
        return ~self._seen


def _first_of_each(places: Int64s) -> Bools:
    if len(places) < 2 or bool((np.diff(places) > 0).all()):
        return np.ones(len(places), np.bool_)
    order = np.argsort(places, kind="stable")
    first = np.ones(len(places), np.bool_)
    first[order[1:]] = places[order[1:]] != places[order[:-1]]
    return first


@dataclass(slots=True)
class Settling:
    """Decides the fate of each request of one batch; the answers are written as it goes.

    The states are not: `fates` (by place) is for the caller to write once the answers are
    durable, because a state vouches for what its answer row points at.
    """

    terms: Terms
    places: Places
    states: Bytes
    answers: Answers
    errors: Errors
    doubled: int = 0
    tally: Tally = field(default_factory=Tally)
    fates: Bytes = field(init=False)

    def __post_init__(self) -> None:
        self.fates = np.full(self.places.count, UNTOUCHED, np.uint8)

    def settle(self, found: Found) -> None:
        """Settle by lines each of which is the first for its request."""
        ordinals, codes = found["ordinal"], found["code"]
        where = (np.uint64(self.terms.serial) << np.uint64(OFFSET_BITS)) | found["offset"]
        settled = self.states[ordinals] & LOW
        if (codes == RESPONSE).all() and (settled == Settled.OPEN).all():  # mostly that is all
            self._point(found, where)
            self.fates[self.places.of(ordinals)] = self.terms.state(Settled.RESPONSE)
            self.tally = replace(self.tally, answered=self.tally.answered + len(found))
            return
        is_open = (settled == Settled.OPEN) | (settled == Settled.RETRYABLE)
        self._count_twice_settled(ordinals[~is_open], where[~is_open])
        again = np.isin(codes, list(self.terms.retryable)) & (codes > RESPONSE)
        self._tally(codes, again)
        mine = is_open & ((codes == RESPONSE) | ~self._was_tried(ordinals))
        found, codes, where = found[mine], codes[mine], where[mine]
        ordinals, settled, again = ordinals[mine], settled[mine], again[mine]
        fates = np.where(codes == RESPONSE, self.terms.state(Settled.RESPONSE), 0)
        lasting = (codes != RESPONSE) & ~(again & (not self.terms.last))
        fates[lasting] = self.terms.state(Settled.ERROR)
        fates[again & ~lasting] = self.terms.state(Settled.RETRYABLE)
        told = codes != RESPONSE
        told &= (settled == Settled.RETRYABLE) | (codes < RESPONSE) | (again & self.terms.last)
        self._point(found[~told], where[~told])
        self._record(found[told], where[told])
        self.fates[self.places.of(ordinals)] = fates

    def _point(self, found: Found, where: npt.NDArray[np.uint64]) -> None:
        ordinals = found["ordinal"]
        self.answers["where"][ordinals], self.answers["length"][ordinals] = where, found["length"]

    def miss(self, ordinals: Int64s) -> None:
        """Settle or give back what no line answered."""
        settled = self.states[ordinals] & LOW
        is_open = (settled == Settled.OPEN) | (settled == Settled.RETRYABLE)
        self._tally_missing(ordinals, settled)
        mine = is_open & ~self._was_tried(ordinals)
        ordinals, settled = ordinals[mine], settled[mine]
        if self.terms.last:
            error = given_up(failure(DATA_LOSS, NO_ANSWER), self.terms.generation)
            settle_as_error(ordinals, error, self.terms.nowhere, self)
            fates = np.full(len(ordinals), self.terms.state(Settled.ERROR))
        else:
            fates = settled | self.terms.state(Settled.OPEN)
        self.fates[self.places.of(ordinals)] = fates

    def _was_tried(self, ordinals: Int64s) -> Bools:
        """Tell what this generation's try, or a later one, has decided: only an answer is news."""
        tried: Bools = self.states[ordinals] >> GENERATION_SHIFT >= self.terms.generation
        return tried

    def _record(self, found: Found, where: npt.NDArray[np.uint64]) -> None:
        """Keep errors with a history, or that are given up, or were no answers at all."""
        rows = [
            (row, at)
            for row, at in zip(found, where.tolist(), strict=True)
            if not self._is_from(int(row["ordinal"]), at)
        ]
        kept = self.errors.keep([(at, self._error(row, at)) for row, at in rows])
        for (row, _), span in zip(rows, kept, strict=True):
            self.answers[int(row["ordinal"])] = span

    def _error(self, row: np.void, where: int) -> bytes:
        ordinal, code = int(row["ordinal"]), int(row["code"])
        error = self.errors.read(where, int(row["length"]))
        if code < RESPONSE:
            error = malformed(error, WHY[code])
        if code in self.terms.retryable and self.terms.last:
            error = given_up(error, self.terms.generation)
        return with_earlier(ordinal, error, self)

    def _is_from(self, ordinal: int, where: int) -> bool:
        row = self.answers[ordinal]
        return bool(row["length"]) and self.errors.origin(int(row["where"])) == where

    def _count_twice_settled(self, ordinals: Int64s, where: npt.NDArray[np.uint64]) -> None:
        apart = self.answers["where"][ordinals] != where
        self.doubled += sum(
            not self._is_from(ordinal, at)
            for ordinal, at in zip(ordinals[apart].tolist(), where[apart].tolist(), strict=True)
        )

    def _tally(self, codes: npt.NDArray[np.int32], again: Bools) -> None:
        answered, retried = int((codes == RESPONSE).sum()), int(again.sum())
        self.tally = Tally(
            self.tally.answered + answered,
            self.tally.failed + len(codes) - answered - retried,
            self.tally.retryable + (0 if self.terms.last else retried),
            self.tally.missing,
            self.tally.given_up + (retried if self.terms.last else 0),
        )

    def _tally_missing(self, ordinals: Int64s, settled: Bytes) -> None:
        # What another batch settled meanwhile is counted as that batch settled it.
        answered = int((settled == Settled.RESPONSE).sum())
        errors = ordinals[settled == Settled.ERROR].tolist()
        ours = sum(self._is_from(ordinal, self.terms.nowhere) for ordinal in errors)
        rest = len(ordinals) - answered - len(errors)
        self.tally = Tally(
            self.tally.answered + answered,
            self.tally.failed + len(errors) - ours,
            self.tally.retryable,
            self.tally.missing + (0 if self.terms.last else rest),
            self.tally.given_up + ours + (rest if self.terms.last else 0),
        )


def settle_as_error(ordinals: Int64s, error: bytes, origin: int, index: Index) -> None:
    """Let the answer rows of open requests point at one error; a history makes it their own."""
    rows = index.answers[ordinals]
    tried = (index.states[ordinals] & LOW == Settled.RETRYABLE) & (rows["length"] > 0)
    plain = ordinals[~tried]
    if len(plain):
        index.answers[plain] = np.array(index.errors.keep([(origin, error)])[0], ANSWER)
    # Requests with one history, as those of an expired batch, go on to share one.
    own, earlier = ordinals[tried], rows[tried]
    places, first, which = np.unique(earlier["where"], return_index=True, return_inverse=True)
    fresh = [at for at, place in enumerate(places.tolist()) if index.errors.origin(place) != origin]
    records = [(origin, with_earlier(int(own[first[at]]), error, index)) for at in fresh]
    for at, span in zip(fresh, index.errors.keep(records), strict=True):
        index.answers[own[which == at]] = np.array(span, ANSWER)


def with_earlier(ordinal: int, error: bytes, index: Index) -> bytes:
    """Return an error with those that earlier generations brought in its history."""
    row = index.answers[ordinal]
    if index.states[ordinal] & LOW != Settled.RETRYABLE or not row["length"]:
        return error
    return with_history(error, index.errors.read(int(row["where"]), int(row["length"])))
