"""Which batches may start now: by priority, fair among equals, within what the project may hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.domain.batches import Unsent
from orchestrator.domain.ids import SetId
from orchestrator.domain.policy import Limits


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
    """Who may start, in this order, and why the first of the others may not."""

    admitted: tuple[Unsent, ...]
    waits_for: str | None


def admit(
    candidates: Sequence[Candidate],
    load: Load,
    limits: Limits,
    token_limits: Mapping[str, int],
) -> Admission:
    """Choose who may start; `load` is spent as they are chosen.

    The set with the fewest live batches comes first among sets of one priority, so a small set
    behind a giant one is not starved. A batch that does not fit holds back the later ones
    of its model, so that small batches do not starve a large one.
    """
    waiting = list(candidates)
    admitted: list[Unsent] = []
    full_models: set[str] = set()
    waits_for: str | None = None
    while waiting:
        first = min(waiting, key=lambda one: _rank(one, load))
        waiting.remove(first)
        part = first.batch.part
        if part.model in full_models:
            continue
        obstacle = _obstacle(first.batch, load, limits, token_limits)
        if obstacle is not None:
            waits_for = waits_for or obstacle
            full_models.add(part.model)
            continue
        load.jobs += 1
        load.tokens[part.model] = load.tokens.get(part.model, 0) + part.tokens
        load.live_of_set[part.request_set] = load.live_of_set.get(part.request_set, 0) + 1
        admitted.append(first.batch)
    return Admission(tuple(admitted), waits_for)


def _rank(candidate: Candidate, load: Load) -> tuple[int, int, datetime, int]:
    part = candidate.batch.part
    live = load.live_of_set.get(part.request_set, 0)
    return -candidate.priority, live, candidate.received_at, part.serial


def _obstacle(
    batch: Unsent, load: Load, limits: Limits, token_limits: Mapping[str, int]
) -> str | None:
    part = batch.part
    if load.jobs >= limits.active_jobs_max:
        return f"{load.jobs} of {limits.active_jobs_max} jobs of the project are active"
    limit, held = token_limits.get(part.model), load.tokens.get(part.model, 0)
    if limit is not None and held and held + part.tokens > limit:
        return f"{held:,} of {limit:,} enqueued tokens of {part.model} are in use"
    return None
