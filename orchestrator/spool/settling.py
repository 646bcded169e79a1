"""Requests that settle, or are given back, without an answer of their own. All of it repeatable."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from orchestrator.domain.batches import Part
from orchestrator.domain.failures import INVALID_ARGUMENT, failure, failure_named
from orchestrator.domain.ids import IdempotencyKey, generation_in
from orchestrator.domain.join import LOW
from orchestrator.domain.layout import (
    GENERATION_MAX,
    GENERATION_SHIFT,
    OFFSET_BITS,
    OFFSET_MASK,
    Settled,
)
from orchestrator.domain.planning import Int64s, ordinals_of
from orchestrator.spool import source
from orchestrator.spool.index_files import OWN, IndexFiles
from orchestrator.spool.plan import read_runs

CHUNK = 1 << 20


def open_count(folder: Path) -> int:
    """Return how many requests are not settled. Runs in a worker."""
    states = source.open_states(folder)
    return sum(
        int(np.isin(states[start : start + CHUNK] & LOW, (Settled.OPEN, Settled.RETRYABLE)).sum())
        for start in range(0, len(states), CHUNK)
    )


def is_due(folder: Path, token: IdempotencyKey) -> bool:
    """Tell whether a request of this plan is open and not yet tried in the plan's generation.

    Runs in a worker.
    """
    generation = generation_in(token)
    states = source.open_states(folder)
    return any(
        bool(
            (
                np.isin(states[ordinals] & LOW, (Settled.OPEN, Settled.RETRYABLE))
                & (states[ordinals] >> GENERATION_SHIFT < generation)
            ).any()
        )
        for ordinals in ordinals_of(read_runs(folder, token), CHUNK)
    )


def release(folder: Path, part: Part, last: str | None, code: int, told: str | None = None) -> int:
    """Count the try of a batch without answers; settle its open requests if `last` says why.

    What goes back instead keeps `told` for the history of its next error. Returns how many this
    batch's end settled. Runs in a worker.
    """
    origin, generation = _origin(part), min(part.generation, GENERATION_MAX)
    settled = 0
    with IndexFiles(folder) as index:
        for ordinals in ordinals_of(read_runs(folder, part.token), CHUNK):
            if last is None:
                waiting = index.due_among(ordinals, generation)
                if told is not None and len(waiting):
                    index.give_back(waiting, failure(code, told), origin, generation)
                    continue
                state = index.states[waiting] & LOW
                index.states[waiting] = state | (generation << GENERATION_SHIFT)
            else:
                settled += _settled_by(index, ordinals, origin)
                waiting = index.due_among(ordinals, generation)
                index.settle(waiting, failure(code, last), origin, generation)
                settled += len(waiting)
        index.flush(source.STATES)
    return settled


def settle_line(folder: Path, part: Part, line: int, message: str) -> bool:
    """Settle the request on the 1-based line of the sent file as an error. Runs in a worker.

    False when the batch has no such line, or when the request was settled otherwise.
    """
    if not 1 <= line <= part.count:
        return False
    ordinals = _nth(read_runs(folder, part.token), line - 1)
    with IndexFiles(folder) as index:
        if not len(index.open_among(ordinals)):
            return bool(_settled_by(index, ordinals, _origin(part)))
        error = failure(INVALID_ARGUMENT, message)
        index.settle(ordinals, error, _origin(part), min(part.generation, GENERATION_MAX))
    return True


def settle_all(folder: Path, code: int, status: str, message: str) -> int:
    """Settle whatever is open as an error; returns how many that were. Runs in a worker."""
    settled = 0
    with IndexFiles(folder) as index:
        for ordinals in _all(index):
            waiting = index.open_among(ordinals)
            if len(waiting):
                index.settle(waiting, failure_named(code, status, message), OWN)
            settled += len(waiting)
    return settled


def reopen(folder: Path) -> int:
    """Put failed requests back into the pool; returns how many. Runs in a worker.

    They keep their last error, which becomes part of the next one's history. What was tried as
    often as can be counted stays as it is.
    """
    reopened = 0
    with IndexFiles(folder) as index:
        for ordinals in _all(index):
            states = index.states[ordinals]
            failed = (states & LOW == Settled.ERROR) & (states >> GENERATION_SHIFT < GENERATION_MAX)
            index.states[ordinals[failed]] = (states[failed] & ~np.uint8(LOW)) | Settled.RETRYABLE
            reopened += int(failed.sum())
        index.flush(source.STATES)
    return reopened


def _origin(part: Part) -> int:
    return part.serial << OFFSET_BITS | OFFSET_MASK


def _settled_by(index: IndexFiles, ordinals: Int64s, origin: int) -> int:
    """Return how many requests an earlier life of the same call has settled."""
    errors = ordinals[index.states[ordinals] & LOW == Settled.ERROR]
    places = index.answers["where"][errors]
    places = places[places >> np.uint64(OFFSET_BITS) == 0]
    return sum(index.errors.origin(where) == origin for where in places.tolist())


def _nth(runs: np.ndarray, place: int) -> Int64s:
    for ordinals in ordinals_of(runs, CHUNK):
        if place < len(ordinals):
            return ordinals[place : place + 1]
        place -= len(ordinals)
    return np.empty(0, np.int64)


def _all(index: IndexFiles) -> Iterator[Int64s]:
    for start in range(0, len(index.states), CHUNK):
        yield np.arange(start, min(start + CHUNK, len(index.states)))
