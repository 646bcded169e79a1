"""cancel asked → nothing live: drop what was not sent, cancel what runs, watch it end.

A batch in doubt stays until reconcile has settled it: a job nobody has seen cannot be cancelled.
What a cancelled job has answered is collected and delivered all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator.domain import batches as machine
from orchestrator.domain.batches import Planned, Submitted, Uploaded
from orchestrator.domain.ids import JobName, SetId
from orchestrator.domain.policy import RetryPolicy
from orchestrator.ports import Blocked, Clock, Files, Jobs, Project, Unavailable
from orchestrator.store import batches as batch_rows, questions
from orchestrator.store.journal import Journal


@dataclass(frozen=True, slots=True)
class Cancel:
    """Brings the batches of cancelled sets to their ends; `asked` remembers whom we asked when."""

    journal: Journal
    jobs: Jobs
    files: Files
    clock: Clock
    project: Project
    retry: RetryPolicy
    asked: dict[JobName, float] = field(default_factory=dict)

    async def find(self) -> Sequence[SetId]:
        """Return the open sets whose operator asked for an end."""
        return await self.journal.read(questions.to_be_cancelled)

    def name(self, item: SetId) -> str:
        """Return what tells one item from another while it is worked on."""
        return item

    async def do(self, item: SetId) -> None:
        """Drop the unsent batches of one set and cancel its jobs."""
        for row in await self.journal.read(batch_rows.of_set, item):
            match row:
                case Planned() | Uploaded():
                    await self._drop(row)
                case Submitted():
                    await self._cancel(row)
                case _:
                    continue

    async def _drop(self, row: Planned | Uploaded) -> None:
        why = "its set was cancelled before it was sent"
        await self.journal.record(machine.drop(row, self.clock.now(), why))
        if isinstance(row, Uploaded):
            try:
                await self.files.delete(row.file)
            except Unavailable:
                return  # it expires by itself after 48 hours

    async def _cancel(self, row: Submitted) -> None:
        now = self.clock.elapsed()
        before = self.asked.get(row.job)
        if before is not None and now - before < self.retry.backoff_max.total_seconds():
            return
        try:
            await self.jobs.cancel(row.job)
        except Blocked as error:
            await self.project.block(error, "cancel")
            return
        except Unavailable:
            return
        self.asked[row.job] = now
        await self.project.accepted("cancel")
        self.project.look_at(now + timedelta(seconds=5).total_seconds())
