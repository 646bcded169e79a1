"""What is no longer needed goes: remote files and jobs first, our own folders after their time.

Nothing undelivered is ever removed, and no answer before it is on our disk and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeAlias

from orchestrator.domain.ids import SetId
from orchestrator.ports import Clock, Files, Jobs, Project, Unavailable, Work
from orchestrator.store import jobs as job_rows, notices, questions, request_sets as set_rows
from orchestrator.store.journal import Journal
from orchestrator.store.questions import Remains


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is finished is kept; None keeps it for ever.

    `remote_jobs` is True when jobs are deleted at the provider once their set is delivered (their
    output would live there for six weeks).
    """

    remote_jobs: bool = True
    work: timedelta | None = timedelta(days=7)
    ledger: timedelta | None = timedelta(days=90)
    notices: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class OldFolder:
    """A finished set whose folder in `work/` has had its time."""

    set_id: SetId
    folder: str


@dataclass(frozen=True, slots=True)
class OldSet:
    """A finished set whose rows have had their time."""

    set_id: SetId


Item: TypeAlias = Remains | OldFolder | OldSet
AT_ONCE_MAX = 100


@dataclass(frozen=True, slots=True)
class Tidy:
    """Removes remains; `gone` are the files and folders that were removed in this life."""

    journal: Journal
    work: Work
    jobs: Jobs
    files: Files
    clock: Clock
    project: Project
    retention: Retention
    gone: set[str] = field(default_factory=set)

    async def find(self) -> Sequence[Item]:
        """Return what has had its time."""
        now, keep = self.clock.now(), self.retention
        remains = await self.journal.read(questions.remains)
        items: list[Item] = [one for one in remains if self._is_due(one)]
        if keep.work is not None:
            old = await self.journal.read(questions.finished_folders, now - keep.work)
            items += [OldFolder(*one) for one in old if one[1] not in self.gone]
        if keep.ledger is not None:
            before = now - max(keep.ledger, set_rows.TOKEN_LIFE)
            sets = await self.journal.read(set_rows.finished_before, before, AT_ONCE_MAX)
            items += [OldSet(one.value.info.id) for one in sets]
        return items

    def name(self, item: Item) -> str:
        """Return what tells one item from another while it is worked on."""
        match item:
            case Remains():
                return item.job or item.token
            case OldFolder():
                return item.folder
            case OldSet():
                return item.set_id

    async def do(self, item: Item) -> None:
        """Remove one thing."""
        match item:
            case Remains():
                await self._remote(item)
            case OldFolder():
                await self.work.remove(item.folder)
                self.gone.add(item.folder)
            case OldSet():
                await self.journal.write(set_rows.delete, item.set_id)
                before = self.clock.now() - self.retention.notices
                await self.journal.write(notices.prune, before)

    def _is_due(self, one: Remains) -> bool:
        if one.finished and self.retention.remote_jobs and one.job is not None:
            return True
        return one.file is not None and one.file not in self.gone

    async def _remote(self, one: Remains) -> None:
        try:
            if one.file is not None and one.file not in self.gone:
                await self.files.delete(one.file)
                self.gone.add(one.file)
            if one.finished and self.retention.remote_jobs and one.job is not None:
                await self.jobs.delete(one.job)
                self.project.evidence.forget(one.job)
                await self.journal.write(job_rows.delete, self.clock.now(), [one.job])
        except Unavailable:
            return  # again at the next round
