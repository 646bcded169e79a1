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


@dataclass(slots=True)
class Memory:
    """What is remembered within one life: since when batches wait, models that were told of."""

    since: dict[IdempotencyKey, datetime] = field(default_factory=dict)
    slow: frozenset[str] = frozenset()
    given_up: set[JobName] = field(default_factory=set)


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
        oldest: dict[str, timedelta] = {}
        longest: dict[str, timedelta] = {}
        for row in submitted:
            model, now = row.part.model, self.clock.now()
            age = now - row.submitted_at
            oldest[model] = max(age, oldest.get(model, age))
            longest[model] = max(now - await self._since(row), longest.get(model, NO_TIME))
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
