"""The picture in memory that every answer is taken from; no request ever waits for the ledger.

The feed keeps the ledger's part of it up to date, the daemon tells the live facts: what is being
read and uploaded, what the provider said last, what is wrong. Everything is bounded: by what
the ledger keeps, and by the provider's hundred jobs.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Literal, TypeAlias

from orchestrator.domain.batches import Batch, Collected, Usage, is_live
from orchestrator.domain.ids import IdempotencyKey, JobName, ProjectName, SetId
from orchestrator.domain.jobs import JobState, Scan
from orchestrator.domain.request_sets import Flags, RequestSet, is_open
from orchestrator.status.batches_shown import batch_view
from orchestrator.status.sets_shown import (
    Cost,
    SetFold,
    expected_end,
    fold,
    question,
    set_view,
)
from orchestrator.status.sums import Running, Sums
from orchestrator.status.views import BatchView, Condition, IncidentView, SetView

Phase: TypeAlias = Literal["starting", "running", "stopping"]
PACE_SAMPLES_MAX = 200
MODELS_MAX = 500


@dataclass(frozen=True, slots=True)
class Project:
    """What is known of one account. `why` is None while it accepts work."""

    name: ProjectName
    active_jobs_max: int
    why: str | None = None
    remedy: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """The newest complete scan of the job list."""

    at: datetime
    jobs: int
    states: Mapping[JobName, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Money:
    """What was spent, in micro-dollars; None where nobody knows the prices."""

    today: int | None = None
    ever: int | None = None


class Board:
    """The picture. Not thread-safe: it belongs to the event loop."""

    def __init__(
        self, version: str, pid: int, started_at: datetime, projects: Sequence[Project], cost: Cost
    ) -> None:
        self.version = version
        self.pid = pid
        self.started_at = started_at
        self.cost = cost
        self.phase: Phase = "starting"
        self.projects = {project.name: project for project in projects}
        self.looked: Looked | None = None
        self.money = Money()
        self.strays = 0
        self.incidents: Counter[str] = Counter()
        self.newest_incidents: Sequence[IncidentView] = ()
        self.drops = 0
        self.waits_for: str | None = None
        self.reading: dict[str, tuple[int, int]] = {}
        self.free_bytes: int | None = None
        self.lag_seconds = 0.0
        self._conditions: dict[tuple[str, str], Condition] = {}
        self._folds: dict[SetId, SetFold] = {}
        self._batches: dict[SetId, dict[IdempotencyKey, Batch]] = {}
        self._uploaded: dict[IdempotencyKey, int] = {}
        self._pace: dict[str, deque[float]] = {}
        self._running = Running()
        self._sums: Sums | None = None

    # ---- what the ledger says ----------------------------------------------------------------

    def put(self, value: RequestSet, flags: Flags, batches: Iterable[Batch]) -> None:
        """Show a set as it is now, with those of its batches that have changed or are new.

        The batches of a finished set are summed up and let go.
        """
        self._take_away(value.info.id)
        known = self._batches.setdefault(value.info.id, {})
        for batch in batches:
            self._learn_pace(batch, known.get(batch.part.token))
            known[batch.part.token] = batch
            if batch.state != "planned":
                self._uploaded.pop(batch.part.token, None)
        self._folds[value.info.id] = fold(value, flags, known.values())
        if not is_open(value):
            del self._batches[value.info.id]
        self._running.add(self._folds[value.info.id], self._live_of(value.info.id))

    def forget(self, request_set: SetId) -> None:
        """Show a set no longer: the ledger does not know it any more."""
        self._take_away(request_set)
        self._folds.pop(request_set, None)
        self._batches.pop(request_set, None)

    def _take_away(self, request_set: SetId) -> None:
        self._sums = None
        before = self._folds.get(request_set)
        if before is not None:
            self._running.take_away(before, self._live_of(request_set))

    def _live_of(self, request_set: SetId) -> Iterable[Batch]:
        return filter(is_live, self._batches.get(request_set, {}).values())

    def holds(self, request_set: SetId) -> bool:
        """Tell whether all batches of the set are in memory."""
        return request_set in self._batches

    def _learn_pace(self, batch: Batch, before: Batch | None) -> None:
        if not isinstance(batch, Collected) or isinstance(before, Collected):
            return
        if batch.outcome is not JobState.SUCCEEDED:
            return
        if batch.part.model not in self._pace and len(self._pace) >= MODELS_MAX:
            return
        samples = self._pace.setdefault(batch.part.model, deque(maxlen=PACE_SAMPLES_MAX))
        samples.append((batch.ended_at - batch.submitted_at).total_seconds())

    # ---- what the daemon tells -----------------------------------------------------------------

    def raise_condition(self, condition: Condition) -> None:
        """Say that something is wrong; the same kind and subject again keeps its `since`."""
        key = (condition.kind, condition.subject)
        known = self._conditions.get(key)
        since = known.since if known else condition.since
        self._conditions[key] = condition.model_copy(update={"since": since})

    def clear_condition(self, kind: str, subject: str = "") -> None:
        """Say that something is well again; that it never was wrong is no error."""
        self._conditions.pop((kind, subject), None)

    def block(self, project: ProjectName, why: str, remedy: str, since: datetime) -> None:
        """Say that an account accepts nothing until the remedy was followed."""
        known = self.projects[project]
        self.projects[project] = replace(
            known, why=why, remedy=remedy, since=known.since if known.why == why else since
        )

    def unblock(self, project: ProjectName) -> None:
        """Say that an account accepts work."""
        self.projects[project] = replace(self.projects[project], why=None, remedy="", since=None)

    def scanned(self, scan: Scan, at: datetime) -> None:
        """Take over what a scan of the job list showed; an incomplete one only adds to it."""
        states = {
            job.name: job.state.value if isinstance(job.state, JobState) else job.state.text
            for job in scan.jobs
        }
        if scan.complete:
            self.looked = Looked(at, len(scan.jobs), states)
        elif self.looked is not None:
            known = {**self.looked.states}
            known.update((name, state) for name, state in states.items() if name in known)
            self.looked = replace(self.looked, states=known)

    def read(self, name: str, done: int, total: int) -> None:
        """Say how far the reading of a drop has come, in bytes; it is over when done = total."""
        if done >= total:
            self.reading.pop(name, None)
        else:
            self.reading[name] = (done, total)

    def uploaded(self, token: IdempotencyKey, done: int) -> None:
        """Say how many bytes of a batch's input file the provider has."""
        self._uploaded[token] = done

    def begin_anew(self, project: ProjectName, active_jobs_max: int, cost: Cost) -> None:
        """Show what other settings make of it; what was wrong under the old ones is found again."""
        self._conditions.clear()
        self.reading.clear()
        self.projects[project] = replace(self.projects[project], active_jobs_max=active_jobs_max)
        self.cost = cost

    # ---- what is asked -------------------------------------------------------------------------

    @property
    def conditions(self) -> list[Condition]:
        """What is wrong, the longest standing first."""
        every = [*self._conditions.values(), *self._questions()]
        return sorted(every, key=lambda one: (one.since, one.kind))

    def _questions(self) -> Iterator[Condition]:
        """Yield what the operator is asked about batches in doubt, set by set."""
        if not self.sums.doubts["held"]:
            return
        for request_set in self._batches:
            of = self._folds[request_set]
            asked = question(of)
            if asked is not None:
                name, (why, remedy) = of.value.info.name, asked
                yield Condition(
                    kind="in_doubt",
                    subject=request_set,
                    message=f"{name}: {why}",
                    remedy=remedy,
                    since=min(batch.intended_at for batch in of.asked),
                    fatal=False,
                    passing=False,
                )

    @property
    def folds(self) -> Iterable[SetFold]:
        """Every set, in no order."""
        return self._folds.values()

    @property
    def live(self) -> Iterable[Batch]:
        """Every batch that may still bring answers, in no order."""
        return (
            batch
            for batches in self._batches.values()
            for batch in batches.values()
            if is_live(batch)
        )

    @property
    def sums(self) -> Sums:
        """The sums over all sets and live batches."""
        if self._sums is None:
            self._sums = self._running.sums
        return self._sums

    @property
    def ready(self) -> bool:
        """Whether the daemon does its work; a blocked account is no reason to restart it."""
        fatal = any(condition.fatal for condition in self._conditions.values())
        return self.phase == "running" and not fatal

    def typical(self, model: str) -> timedelta | None:
        """Return how long jobs of a model took of late, None if none was seen yet."""
        samples = self._pace.get(model)
        return timedelta(seconds=median(samples)) if samples else None

    def get(self, request_set: SetId) -> SetFold | None:
        """Return a set, None if there is no such set."""
        return self._folds.get(request_set)

    def show(self, of: SetFold, now: datetime) -> SetView:
        """Show a set as of now."""
        info = of.value.info
        project = self.projects.get(info.project)
        jobs_max = project.active_jobs_max if project else 1
        ends = expected_end(of, self.typical(info.model), jobs_max, now)
        return set_view(of, self.cost, ends, now, self.sums.used.get(info.model, Usage()))

    def show_batch(self, batch: Batch, now: datetime) -> BatchView:
        """Show a batch with what was heard of it last."""
        job = getattr(batch, "job", None)
        state = self.looked.states.get(job) if self.looked and job else None
        return batch_view(batch, now, state, self._uploaded.get(batch.part.token))

    def batches(self, request_set: SetId) -> list[Batch]:
        """Return the batches of an open set in order; nothing of a finished one is kept here."""
        batches = self._batches.get(request_set, {})
        return sorted(batches.values(), key=lambda batch: batch.part.serial)
