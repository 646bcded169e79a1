"""What is no longer needed goes: remote files and jobs first, our own folders after their time.

Nothing undelivered is ever removed, and no answer before it is on our disk and counted.

Trouble: what the service does not delete is tried again, less and less often, and meanwhile nothing
else is asked of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from orchestrator.domain.ids import SetId
from orchestrator.domain.policy import RetryPolicy, backoff
from orchestrator.domain.rests import Rests
from orchestrator.ports import (
    Clock,
    Files,
    Ids,
    Jobs,
    Outbox,
    Project,
    Refusal,
    Unavailable,
    Work,
)
from orchestrator.store import jobs as job_rows, notices, questions, request_sets as set_rows
from orchestrator.store.errors import LedgerFull
from orchestrator.store.journal import Journal
from orchestrator.store.questions import Remains
from orchestrator.store.sqlite import Space, space


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is finished is kept, and how much of it (bytes; None: no bound).

    `remote` is how long jobs stay at the provider, counted from the end of their set. Of the
    ledger a bound takes sets that ended more than TOKEN_LIFE ago only, of what was refused (which
    is kept for ever unless something is said) what is older than REFUSED_LIFE_MIN.
    """

    remote: timedelta = timedelta(0)
    work: timedelta = timedelta(days=7)
    work_bytes_max: int | None = None
    ledger: timedelta = timedelta(days=90)
    ledger_bytes_max: int | None = None
    rejected: timedelta | None = None
    rejected_bytes_max: int | None = None
    notices: timedelta = timedelta(days=30)
    vacuum_bytes_min: int = 16 << 20


@dataclass(frozen=True, slots=True)
class OldFolder:
    """A finished set whose folder in `work/` has had its time."""

    set_id: SetId
    folder: str


@dataclass(frozen=True, slots=True)
class OldSet:
    """A finished set whose rows have had their time."""

    set_id: SetId
    folder: str


@dataclass(frozen=True, slots=True)
class FreeSpace:
    """Much of the ledger's file is empty."""


@dataclass(slots=True)
class Memory:
    """What was done in this life: files and folders that are gone, folders that were measured.

    `rests` are those of deletions that the service refused: by name, and under ALL of any.
    """

    gone: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    refused_seen_at: datetime | None = None
    vacuumed_at: datetime | None = None
    rests: Rests = field(default_factory=Rests)


Item: TypeAlias = Remains | OldFolder | OldSet | Refusal | FreeSpace
ALL = ""  # where one deletion is refused, the others are for a while, too
AT_ONCE_MAX = 100
BEYOND_AT_ONCE_MAX = 20  # the file is measured again after so many
FILE_LIFE = timedelta(hours=49)
REFUSED_LIFE_MIN = timedelta(days=1)
REFUSED_LOOK = timedelta(minutes=10)
VACUUM_EVERY = timedelta(days=1)
VACUUM_SHARE = 4  # a file of which this part is empty is worth to be written anew


@dataclass(frozen=True, slots=True)
class Tidy:
    """Removes remains, old folders and old history."""

    journal: Journal
    work: Work
    outbox: Outbox
    jobs: Jobs
    files: Files
    clock: Clock
    ids: Ids
    project: Project
    retention: Retention
    retry: RetryPolicy
    memory: Memory = field(default_factory=Memory)

    async def find(self) -> Sequence[Item]:
        """Return what has had its time."""
        remains = await self.journal.read(questions.remains)
        due = [one for one in remains if self._file_is_due(one) or self._job_is_due(one)]
        taken = await self.journal.read(space)
        far: list[Item] = [*due, *await self._old_sets(taken)]
        far = [] if self._rests(ALL) else [one for one in far if not self._rests(self.name(one))]
        ours: list[Item] = [*await self._old_folders(), *await self._old_refusals()]
        return [*far, *ours, *self._free(taken)]

    def name(self, item: Item) -> str:
        """Return what tells one item from another while it is worked on."""
        match item:
            case Remains():
                return item.job or item.token
            case OldFolder():
                return item.folder
            case OldSet():
                return item.set_id
            case Refusal():
                return f"rejected/{item.name}"
            case FreeSpace():
                return "ledger"

    async def do(self, item: Item) -> None:
        """Remove one thing."""
        match item:
            case Remains():
                await self._remote(item)
            case OldFolder():
                await self._remove(item)
            case OldSet():
                await self._forget(item)
            case Refusal():
                await self.outbox.forget(item)
                self.memory.refused.pop(item.name, None)
            case FreeSpace():
                await self._vacuum()

    # ---- at the provider ----------------------------------------------------------------------

    def _file_is_due(self, one: Remains) -> bool:
        """Tell whether a file may be there: by itself it goes 48 hours after its upload."""
        if one.file is None or one.file in self.memory.gone:
            return False
        return one.finished_at is None or one.finished_at + FILE_LIFE > self.clock.now()

    def _job_is_due(self, one: Remains) -> bool:
        if one.job is None or one.finished_at is None:
            return False
        return one.finished_at + self.retention.remote <= self.clock.now()

    async def _remote(self, one: Remains) -> None:
        try:
            if one.file is not None and self._file_is_due(one):
                await self.files.delete(one.file)
                self.memory.gone.add(one.file)
            if one.job is not None and self._job_is_due(one):
                await self.jobs.delete(one.job)
                self.project.evidence.forget(one.job)
                await self.journal.write(job_rows.delete, self.clock.now(), [one.job])
        except Unavailable as error:
            self._denied(self.name(one), error)
        else:
            self._served(self.name(one))

    def _denied(self, name: str, error: Unavailable) -> None:
        def patience(times: int) -> timedelta:
            return backoff(self.retry, times, self.ids.jitter(), error.retry_after)

        for which in (name, ALL):
            self.memory.rests.begin(which, self.clock.elapsed(), patience)

    def _served(self, name: str) -> None:
        for which in (name, ALL):
            self.memory.rests.end(which)

    def _rests(self, name: str) -> bool:
        return self.memory.rests.holds(name, self.clock.elapsed())

    # ---- folders ------------------------------------------------------------------------------

    async def _old_folders(self) -> list[OldFolder]:
        """Return what is too old, and what lies beyond the bytes that the newest may take."""
        now, keep, most = self.clock.now(), self.retention, self.retention.work_bytes_max
        before = now - keep.work if most is None else now
        finished = await self.journal.read(questions.finished_folders, before)
        there = [one for one in finished if one.folder not in self.memory.gone]
        if most is None:
            return [OldFolder(one.set_id, one.folder) for one in there]
        await self._measure([one.folder for one in there])
        old: list[OldFolder] = []
        taken = 0
        for one in reversed(there):
            taken += self.memory.sizes[one.folder]
            if taken > most or one.finished_at < now - keep.work:
                old.append(OldFolder(one.set_id, one.folder))
        return old[::-1]

    async def _measure(self, folders: Sequence[str]) -> None:
        """Measure finished folders once: nothing changes in them; one that ran again is new."""
        known = self.memory.sizes
        self.memory.sizes = {
            folder: known[folder] if folder in known else await self.work.taken(folder)
            for folder in folders
        }

    async def _remove(self, old: OldFolder) -> None:
        """Remove a folder, unless its set runs again or is copied from by now."""
        finished = await self.journal.read(questions.finished_folders, self.clock.now())
        if any(one.set_id == old.set_id for one in finished):
            await self.work.remove(old.folder)
            self.memory.gone.add(old.folder)

    # ---- what was refused ---------------------------------------------------------------------

    async def _old_refusals(self) -> list[Refusal]:
        """Return what is too old, and the oldest beyond the bytes that may be taken.

        Nothing of it was ever submitted, so nothing is owed for it.
        """
        now, keep, memory = self.clock.now(), self.retention, self.memory
        if keep.rejected is None and keep.rejected_bytes_max is None:
            return []
        if memory.refused_seen_at is None or now >= memory.refused_seen_at + REFUSED_LOOK:
            memory.refused_seen_at = now
            found = await self.outbox.refusals()
            memory.refused = {one.name: one for one in self._refused_too_long(found)}
        return list(memory.refused.values())

    def _refused_too_long(self, found: Sequence[Refusal]) -> list[Refusal]:
        now, keep, most = self.clock.now(), self.retention, self.retention.rejected_bytes_max
        old: list[Refusal] = []
        taken = 0
        for one in sorted(found, key=lambda one: one.at, reverse=True):
            taken += one.size
            too_old = keep.rejected is not None and one.at < now - keep.rejected
            too_much = most is not None and taken > most and one.at < now - REFUSED_LIFE_MIN
            if too_old or too_much:
                old.append(one)
        return old[::-1]

    # ---- the ledger ---------------------------------------------------------------------------

    async def _old_sets(self, taken: Space) -> list[OldSet]:
        now, keep = self.clock.now(), self.retention
        most, age = AT_ONCE_MAX, max(keep.ledger, set_rows.TOKEN_LIFE)
        if keep.ledger_bytes_max is not None and taken.used > keep.ledger_bytes_max:
            most, age = BEYOND_AT_ONCE_MAX, set_rows.TOKEN_LIFE
        sets = await self.journal.read(set_rows.finished_before, now - age, most)
        return [OldSet(one.value.info.id, one.value.info.folder) for one in sets]

    async def _forget(self, old: OldSet) -> None:
        """Forget a set, after its folder, which would be taken for a new drop, and its jobs."""
        remains = await self.journal.read(questions.remains, old.set_id)
        for job in [one.job for one in remains if one.job is not None]:
            try:
                await self.jobs.delete(job)
            except Unavailable as error:
                self._denied(self.name(old), error)
                return
            self.project.evidence.forget(job)
        self._served(self.name(old))
        await self.work.remove(old.folder)
        await self.journal.write(set_rows.delete, old.set_id)
        await self.journal.write(notices.prune, self.clock.now() - self.retention.notices)

    def _free(self, taken: Space) -> list[FreeSpace]:
        last, now = self.memory.vacuumed_at, self.clock.now()
        if last is not None and now < last + VACUUM_EVERY:
            return []
        much = max(self.retention.vacuum_bytes_min, (taken.used + taken.free) // VACUUM_SHARE)
        return [FreeSpace()] if taken.free >= much else []

    async def _vacuum(self) -> None:
        self.memory.vacuumed_at = self.clock.now()
        try:
            await self.journal.ledger.vacuum()
        except LedgerFull:
            return  # it needs the file's size once more; deleted rows are used again anyway
