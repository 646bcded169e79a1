"""The sums over all sets and live batches, kept as they change and not made for each reader."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from heapq import heapify, heappop, heappush

from orchestrator.domain.batches import Batch, Submitted, Submitting, Usage
from orchestrator.domain.ids import ProjectName, SetId
from orchestrator.status.batches_shown import is_doubtful
from orchestrator.status.sets_shown import SetFold, display, outcome
from orchestrator.status.views import BatchCounts, SetCounts

GOING = frozenset({"indexed", "running"})
UNSENT = frozenset({"planned", "uploaded"})
USED = tuple(field.name for field in fields(Usage))
STALE_MAX = 1000  # times that hold no longer, beyond as many as there are sets


@dataclass(frozen=True, slots=True)
class Sums:
    """What there is. Requests are those of accepted sets that are open; batches those that live.

    `sets` counts by what is shown, `set_states` by the machine's word; `undelivered` sets run
    and have no live batch. `unsent` counts planned batches by mode. `used` are the tokens that were
    counted for each model's answers.
    """

    sets: SetCounts
    set_states: Counter[str]
    undelivered: int
    requests: int
    answered: int
    failed: int
    oldest_set: datetime | None
    states: Counter[str]
    unsent: Counter[str]
    unsent_bytes: int
    doubts: Counter[str]
    doubtful: int
    oldest_job: datetime | None
    oldest_doubt: datetime | None
    jobs: Counter[ProjectName]
    tokens: Counter[tuple[ProjectName, str]]
    used: Mapping[str, Usage]

    @property
    def batches(self) -> BatchCounts:
        """The live batches by state."""
        return BatchCounts(**self.states, in_doubt=self.doubtful)

    @property
    def open(self) -> int:
        """The requests without a final line."""
        return self.requests - self.answered - self.failed


class Running:
    """The sums as they stand: what changes is taken away as it was and added as it is.

    So a change costs what the set holds, however many others there are.
    """

    def __init__(self) -> None:
        self._shown: Counter[str] = Counter()
        self._set_states: Counter[str] = Counter()
        self._states: Counter[str] = Counter()
        self._unsent: Counter[str] = Counter()
        self._doubts: Counter[str] = Counter()
        self._jobs: Counter[ProjectName] = Counter()
        self._tokens: Counter[tuple[ProjectName, str]] = Counter()
        self._models: Counter[str] = Counter()
        self._used: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._plain: Counter[str] = Counter()
        self._oldest = {"set": Oldest(), "job": Oldest(), "doubt": Oldest()}

    def add(self, of: SetFold, live: Iterable[Batch]) -> None:
        """Count a set with its live batches."""
        batches = tuple(live)
        self._count(of, batches, 1)
        is_running = of.value.state == "running"
        doubtful = (b.intended_at for b in batches if isinstance(b, Submitting) and is_doubtful(b))
        jobs = (batch.submitted_at for batch in batches if isinstance(batch, Submitted))
        info = of.value.info
        self._oldest["set"].put(info.id, info.received_at if is_running else None)
        self._oldest["job"].put(info.id, min(jobs, default=None))
        self._oldest["doubt"].put(info.id, min(doubtful, default=None))

    def take_away(self, of: SetFold, live: Iterable[Batch]) -> None:
        """Count a set no longer; it and its live batches are those that were added."""
        self._count(of, tuple(live), -1)
        for oldest in self._oldest.values():
            oldest.put(of.value.info.id, None)

    @property
    def sums(self) -> Sums:
        """The sums over all that was added."""
        plain = self._plain
        return Sums(
            sets=SetCounts(**self._shown),
            set_states=+self._set_states,
            undelivered=plain["undelivered"],
            requests=plain["requests"],
            answered=plain["answered"],
            failed=plain["failed"],
            oldest_set=self._oldest["set"].first(),
            states=+self._states,
            unsent=+self._unsent,
            unsent_bytes=plain["unsent_bytes"],
            doubts=+self._doubts,
            doubtful=plain["doubtful"],
            oldest_job=self._oldest["job"].first(),
            oldest_doubt=self._oldest["doubt"].first(),
            jobs=+self._jobs,
            tokens=+self._tokens,
            used={model: Usage(**self._used[model]) for model in +self._models},
        )

    def _count(self, of: SetFold, live: tuple[Batch, ...], sign: int) -> None:
        info, state = of.value.info, of.value.state
        self._shown[display(of.value, of.flags)] += sign
        self._set_states[state] += sign
        self._models[info.model] += sign
        used = self._used[info.model]
        for name in USED:
            used[name] += sign * getattr(of.usage, name)
        if state in GOING:
            answered, failed = outcome(of)
            self._plain["requests"] += sign * info.requests
            self._plain["answered"] += sign * answered
            self._plain["failed"] += sign * failed
            self._plain["undelivered"] += sign * (state == "running" and not _is_busy(of.counts))
        for batch in live:
            self._count_batch(batch, sign)

    def _count_batch(self, batch: Batch, sign: int) -> None:
        part = batch.part
        self._states[batch.state] += sign
        if batch.state in UNSENT:
            self._plain["unsent_bytes"] += sign * part.wire_bytes
        if batch.state == "planned":
            self._unsent[part.mode] += sign
        if isinstance(batch, Submitting):
            self._doubts[batch.doubt] += sign
            self._plain["doubtful"] += sign * is_doubtful(batch)
        if isinstance(batch, Submitted):
            self._jobs[part.project] += sign
            self._tokens[part.project, part.model] += sign * part.tokens


class Oldest:
    """The oldest of the times of many sets, each of which may change or go."""

    def __init__(self) -> None:
        self._of: dict[SetId, datetime] = {}
        self._queue: list[tuple[datetime, SetId]] = []

    def put(self, name: SetId, at: datetime | None) -> None:
        """Note the time of a set, None if it has none (any more)."""
        if self._of.get(name) == at:
            return
        if at is None:
            del self._of[name]
            return
        self._of[name] = at
        heappush(self._queue, (at, name))
        if len(self._queue) > STALE_MAX + 2 * len(self._of):
            self._queue = [(at, name) for name, at in self._of.items()]
            heapify(self._queue)

    def first(self) -> datetime | None:
        """Return the oldest time, None if there is none."""
        while self._queue and self._of.get(self._queue[0][1]) != self._queue[0][0]:
            heappop(self._queue)
        return self._queue[0][0] if self._queue else None


def _is_busy(counts: BatchCounts) -> bool:
    waiting = counts.planned + counts.uploaded
    return waiting + counts.submitting + counts.submitted + counts.ended > 0
