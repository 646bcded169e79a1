"""Which batches may start now: by priority, fair among equals, within what the project may hold."""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from heapq import heapify, heappop, heappush
from typing import TypeAlias

from orchestrator.domain.batches import Part, Planned, Unsent
from orchestrator.domain.calibration import Estimates
from orchestrator.domain.ids import SetId
from orchestrator.domain.others import Others
from orchestrator.domain.policy import Limits

TokenLimit: TypeAlias = Callable[[str], int | None]
_Rank: TypeAlias = tuple[int, int, datetime, int, int]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A batch that is due, with what its set says about its rank."""

    batch: Unsent
    priority: int
    received_at: datetime


@dataclass(slots=True)
class Load:
    """What the project holds already: by us in live jobs, and by others.

    Tokens are estimates by model; storage counts the input files that are at the provider.
    `estimates` tells how many tokens a batch has by now, whatever they were when it was planned.
    """

    jobs: int = 0
    storage_bytes: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    live_of_set: dict[SetId, int] = field(default_factory=dict)
    estimates: Estimates = field(default_factory=Estimates)

    def beside(self, others: Others) -> "Load":
        """Return what the project holds when others' jobs are counted, too."""
        tokens = dict(self.tokens)
        for model, count in others.tokens.items():
            tokens[model] = tokens.get(model, 0) + count
        return replace(self, jobs=self.jobs + others.jobs, tokens=tokens)


@dataclass(frozen=True, slots=True)
class Oversized:
    """A batch that could never start: alone it is above its model's limit, and can be split."""

    batch: Unsent

    @property
    def part(self) -> Part:
        """What never changes about the batch."""
        return self.batch.part


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may start, in this order, and why the first of the others may not."""

    admitted: tuple[Unsent, ...]
    oversized: tuple[Oversized, ...]
    waits_for: str | None


@dataclass(slots=True)
class _Walls:
    """What is full: found once, it holds back whatever comes later and would need it, too."""

    jobs: bool = False
    storage: bool = False
    models: set[str] = field(default_factory=set)

    def hold_back(self, batch: Unsent) -> bool:
        needs_storage = _needs_storage(batch)
        return self.jobs or (self.storage and needs_storage) or batch.part.model in self.models


def admit(
    candidates: Sequence[Candidate], load: Load, limits: Limits, token_limit: TokenLimit
) -> Admission:
    """Choose who may start, beside what the project holds already.

    The set with the fewest live batches comes first among sets of one priority, so a small set
    behind a giant one is not starved. A batch that does not fit holds back the later ones
    that need the same, so that small batches do not starve a large one.
    """
    token_limit = cache(token_limit)  # there are many batches of few models
    oversized: list[Oversized] = []
    waiting: list[Candidate] = []
    for one in candidates:
        if is_oversized(one.batch.part, load.estimates, token_limit):
            oversized.append(Oversized(one.batch))
        else:
            waiting.append(one)
    load = replace(load, tokens=dict(load.tokens), live_of_set=dict(load.live_of_set))
    admitted: list[Unsent] = []
    walls = _Walls()
    waits_for: str | None = None
    for first in _in_turn(waiting, load):
        if walls.hold_back(first):
            continue
        obstacle = _obstacle(first, load, limits, token_limit, walls)
        if obstacle is None:
            _spend(first, load)
            admitted.append(first)
            continue
        waits_for = waits_for or obstacle
        if walls.jobs:
            break
    return Admission(tuple(admitted), tuple(oversized), waits_for)


def _in_turn(waiting: Sequence[Candidate], load: Load) -> Iterator[Unsent]:
    """Yield each batch when it is the first of those that are left.

    A set's rank changes only with what is admitted of it, so each set has one place in the queue.
    """
    of_set: dict[SetId, list[tuple[int, Candidate]]] = {}
    for place, one in enumerate(waiting):
        of_set.setdefault(one.batch.part.request_set, []).append((place, one))
    queue: list[tuple[_Rank, SetId]] = []
    for name, ranked in of_set.items():
        ranked.sort(key=lambda one: one[1].batch.part.serial, reverse=True)
        queue.append((_rank(*ranked[-1], load), name))
    heapify(queue)
    while queue:
        _, name = heappop(queue)
        ranked = of_set[name]
        yield ranked.pop()[1].batch
        if ranked:
            heappush(queue, (_rank(*ranked[-1], load), name))


def probes(ready: Sequence[Unsent], refused: Container[str]) -> list[Unsent]:
    """Keep one batch of each model that was refused last: when it is served, all may go."""
    chosen: list[Unsent] = []
    probed: set[str] = set()
    for one in ready:
        model = one.part.model
        if model in probed:
            continue
        if model in refused:
            probed.add(model)
        chosen.append(one)
    return chosen


def is_oversized(part: Part, estimates: Estimates, token_limit: TokenLimit) -> bool:
    """Tell whether a batch alone is above its model's limit of tokens, and can be split."""
    limit = token_limit(part.model)
    return limit is not None and part.count > 1 and estimates.tokens(part) > limit


def _rank(place: int, candidate: Candidate, load: Load) -> _Rank:
    part = candidate.batch.part
    live = load.live_of_set.get(part.request_set, 0)
    return -candidate.priority, live, candidate.received_at, part.serial, place


def _needs_storage(batch: Unsent) -> bool:
    return isinstance(batch, Planned) and batch.part.mode == "file"


def _spend(batch: Unsent, load: Load) -> None:
    part = batch.part
    load.jobs += 1
    tokens = load.estimates.tokens(part)
    load.tokens[part.model] = load.tokens.get(part.model, 0) + tokens
    load.live_of_set[part.request_set] = load.live_of_set.get(part.request_set, 0) + 1
    if _needs_storage(batch):
        load.storage_bytes += part.wire_bytes


def _obstacle(
    batch: Unsent, load: Load, limits: Limits, token_limit: TokenLimit, walls: _Walls
) -> str | None:
    part = batch.part
    if load.jobs >= limits.active_jobs_max:
        walls.jobs = True
        return f"{load.jobs} of {limits.active_jobs_max} jobs of the project are active"
    limit, held = token_limit(part.model), load.tokens.get(part.model, 0)
    if limit is not None and held and held + load.estimates.tokens(part) > limit:
        walls.models.add(part.model)
        return f"{held:,} of {limit:,} enqueued tokens of {part.model} are in use"
    stored, most = load.storage_bytes, limits.storage_bytes_max
    if _needs_storage(batch) and stored and stored + part.wire_bytes > most:
        walls.storage = True
        return f"{stored:,} of {most:,} bytes of input files are at the provider"
    return None
