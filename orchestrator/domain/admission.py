"""Which batches may start now: by priority, fair among equals, within what the project may hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from orchestrator.domain.batches import Part, Planned, Unsent
from orchestrator.domain.ids import SetId
from orchestrator.domain.policy import Limits

TokenLimit: TypeAlias = Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A batch that is due, with what its set says about its rank."""

    batch: Unsent
    priority: int
    received_at: datetime


@dataclass(slots=True)
class Load:
    """What the project holds already: by us in live jobs, and (jobs only) by others.

    Tokens are estimates by model; storage counts the input files that are at the provider.
    """

    jobs: int = 0
    storage_bytes: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    live_of_set: dict[SetId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may start, in this order, and why the first of the others may not.

    `oversized` are those that could never start: each alone is above its model's limit of tokens
    and can be split.
    """

    admitted: tuple[Unsent, ...]
    oversized: tuple[Unsent, ...]
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
    oversized = [one.batch for one in candidates if is_oversized(one.batch.part, token_limit)]
    waiting = [one for one in candidates if not is_oversized(one.batch.part, token_limit)]
    load = replace(load, tokens=dict(load.tokens), live_of_set=dict(load.live_of_set))
    admitted: list[Unsent] = []
    walls = _Walls()
    waits_for: str | None = None
    while waiting and not walls.jobs:
        first = min(waiting, key=lambda one: _rank(one, load))
        waiting.remove(first)
        if walls.hold_back(first.batch):
            continue
        obstacle = _obstacle(first.batch, load, limits, token_limit, walls)
        if obstacle is not None:
            waits_for = waits_for or obstacle
            continue
        _spend(first.batch, load)
        admitted.append(first.batch)
    return Admission(tuple(admitted), tuple(oversized), waits_for)


def is_oversized(part: Part, token_limit: TokenLimit) -> bool:
    """Tell whether a batch alone is above its model's limit of tokens, and can be split."""
    limit = token_limit(part.model)
    return limit is not None and part.tokens > limit and part.count > 1


def _rank(candidate: Candidate, load: Load) -> tuple[int, int, datetime, int]:
    part = candidate.batch.part
    live = load.live_of_set.get(part.request_set, 0)
    return -candidate.priority, live, candidate.received_at, part.serial


def _needs_storage(batch: Unsent) -> bool:
    return isinstance(batch, Planned) and batch.part.mode == "file"


def _spend(batch: Unsent, load: Load) -> None:
    part = batch.part
    load.jobs += 1
    load.tokens[part.model] = load.tokens.get(part.model, 0) + part.tokens
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
    if limit is not None and held and held + part.tokens > limit:
        walls.models.add(part.model)
        return f"{held:,} of {limit:,} enqueued tokens of {part.model} are in use"
    stored, most = load.storage_bytes, limits.storage_bytes_max
    if _needs_storage(batch) and stored and stored + part.wire_bytes > most:
        walls.storage = True
        return f"{stored:,} of {most:,} bytes of input files are at the provider"
    return None
