"""What waits too long: told against the service's target, cancelled only if the operator opted in.

The age of a wait is that of its requests, through all the jobs that they were in: a model that
never answers would else be young again with each new generation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from orchestrator.domain.batches import Submitted
from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.policy import PollPolicy, slowness
from orchestrator.ports import Clock, Jobs, Project, Unavailable
from orchestrator.store import ages
from orchestrator.store.journal import Journal

NO_TIME = timedelta(0)
JUMP_MIN = timedelta(minutes=1)


@dataclass(slots=True)
class Memory:
    """What is remembered within one life: since when batches wait, models that were told of.

    `jumps` are those of the wall clock: what it said afterwards, and by how much it was set.
    """

    since: dict[IdempotencyKey, datetime] = field(default_factory=dict)
    slow: frozenset[str] = frozenset()
    given_up: set[JobName] = field(default_factory=set)
    last: tuple[datetime, float] | None = None  # what both clocks said at the last look
    jumps: list[tuple[datetime, timedelta]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Waits:
    """Minds the jobs that are under way."""

    journal: Journal
    jobs: Jobs
    clock: Clock
    project: Project
    poll: PollPolicy
    memory: Memory = field(default_factory=Memory)

    async def mind(self, submitted: Sequence[Submitted]) -> None:
        """Report models that are slower than the service's target, and jobs that seem stuck.

        Between two generations nothing of a model is under way; what was told then still holds.
        """
        self._note_a_jump()
        oldest: dict[str, timedelta] = {}
        longest: dict[str, timedelta] = {}
        for row in submitted:
            model, age = row.part.model, self._age(row.submitted_at)
            oldest[model] = max(age, oldest.get(model, age))
            waits = self._age(await self._since(row))
            longest[model] = max(waits, longest.get(model, NO_TIME))
            if age > self.poll.stuck_after and self.poll.resubmit_stuck:
                await self._give_up(row.job)
        for model, age in oldest.items():
            self.project.report("slow", model, slowness(model, age, longest[model], self.poll))
        waiting = await self.journal.read(ages.models_waiting)
        for model in self.memory.slow - waiting - oldest.keys():
            self.project.report("slow", model, None)
        self.memory.slow = (self.memory.slow & waiting) | oldest.keys()
        tokens = {row.part.token for row in submitted}
        self.memory.since = {t: at for t, at in self.memory.since.items() if t in tokens}

    def _note_a_jump(self) -> None:
        now, elapsed = self.clock.now(), self.clock.elapsed()
        was, then = self.memory.last or (now, elapsed)
        by = now - was - timedelta(seconds=elapsed - then)
        if abs(by) > JUMP_MIN:
            self.memory.jumps.append((now, by))
        self.memory.last = now, elapsed

    def _age(self, at: datetime) -> timedelta:
        """Return how long ago this was: nothing grows old because a clock was set."""
        set_since = sum((by for when, by in self.memory.jumps if at < when), NO_TIME)
        return max(self.clock.now() - at - set_since, NO_TIME)

    async def _since(self, row: Submitted) -> datetime:
        """Return when the oldest of a batch's requests was sent first."""
        token = row.part.token
        if token not in self.memory.since:
            first = await self.journal.read(ages.first_sent, row.part)
            self.memory.since[token] = min(first or row.submitted_at, row.submitted_at)
        return self.memory.since[token]

    async def _give_up(self, job: JobName) -> None:
        if job in self.memory.given_up:
            return
        try:
            await self.jobs.cancel(job)
        except Unavailable:
            return
        self.memory.given_up.add(job)
