"""The operator's verbs on a set: each safe at any moment, each the same when said twice."""

from dataclasses import dataclass, replace

from orchestrator.domain import batches as machine, caps, doubts, request_sets as sets
from orchestrator.domain.batches import (
    Batch,
    Collected,
    Ended,
    Lapsed,
    LapseReason,
    Submitted,
    Submitting,
)
from orchestrator.domain.ids import IdempotencyKey, JobName, SetId
from orchestrator.domain.jobs import Gone
from orchestrator.domain.options import from_text
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Flags,
    Rejected,
    Running,
    SetInfo,
)
from orchestrator.ports import Clock, Files, Jobs, Project, Trouble, Work
from orchestrator.store import (
    batches as batch_rows,
    jobs as job_rows,
    projects,
    questions,
    request_sets as set_rows,
)
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal
from orchestrator.store.request_sets import StoredSet

UNKNOWN = 2


class NotPossible(Exception):
    """The order does not fit what the set is now; nothing was changed."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}")
        self.why = why
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Control:
    """Carries out orders; each is in the ledger before it returns what was done, in words."""

    journal: Journal
    work: Work
    jobs: Jobs
    files: Files
    clock: Clock
    project: Project

    async def cancel(self, target: SetId) -> str:
        """Start nothing new, cancel the jobs, deliver what was answered."""
        stored = await self._get(target)
        if isinstance(stored.value, Cancelled):
            return "it is cancelled already"
        stored = await self._open(target)
        if stored.flags.cancel_asked:
            return "it is being cancelled already: it ends when its jobs have"
        await self._flag(stored, replace(stored.flags, cancel_asked=True), "cancel asked")
        self.project.look_at(self.clock.elapsed())
        return "cancelling: its jobs are cancelled and what was answered is delivered"

    async def pause(self, target: SetId) -> str:
        """Start nothing new; what is at the provider goes on."""
        stored = await self._going_on(target)
        if stored.flags.paused:
            return "it is paused already"
        await self._flag(stored, replace(stored.flags, paused=True), "paused")
        return "paused: nothing new is started, what is at the provider goes on"

    async def resume(self, target: SetId, cap: int | None = None) -> str:
        """Go on after a pause or a hold; of the caps on cost the one that held it is lifted.

        `cap` (millionths of a US dollar) is the set's own from now on.
        """
        stored = await self._going_on(target)
        await self._demand_room(target, cap)
        after = caps.resumed(stored.flags, self.clock.now(), cap)
        if after == stored.flags:
            held = await self.journal.read(questions.held_in_doubt, target)
            more = f"; but {'; '.join(doubts.asked(target, held))}" if held else ""
            return f"it is running already: nothing holds it{more}"
        said = "; ".join(("running again", *caps.allowances(stored.flags, after)))
        await self._flag(stored, after, said.replace("running again", "resumed", 1))
        return said

    async def retry(self, target: SetId) -> str:
        """Send again what failed or was cancelled; of a held set, what its vanished jobs owe."""
        stored = await self._get(target)
        match stored.value:
            case Delivered() | Cancelled():
                return await self._reopen(stored, stored.value)
            case Rejected():
                raise NotPossible(
                    f"{target} is rejected", "nothing of it was sent; correct it and drop it again"
                )
            case _ if stored.flags.cancel_asked:
                raise being_cancelled(target)
            case _ if sets.is_held_by(stored.flags, "vanished"):
                return await self._give_up_vanished(stored)
            case _ if sets.is_held_by(stored.flags, sets.SHORT):
                await self._flag(stored, replace(stored.flags, held=None), sets.TAKEN)
                return "outputs are taken as they are; what they lack is sent again and paid again"
            case Running() if await self.journal.read(questions.was_reopened, target):
                return f"what failed is being sent again already{_still_held(stored.flags)}"
            case Running() if await self._has_given_up(target):
                return "its vanished jobs were given up already: what they owe is sent again"
            case Running() if await self.journal.read(questions.takes_short, target):
                return "its outputs are taken as they are already; what they lack is sent again"
            case _:
                raise NotPossible(
                    f"{target} is {stored.value.state}",
                    "`resume` goes on with it" if _is_stopped(stored.flags) else "wait for its end",
                )

    async def delete_remote(self, target: SetId) -> str:
        """Delete the jobs and files of a finished set at the provider."""
        stored = await self._get(target)
        if sets.is_open(stored.value):
            raise NotPossible(f"{target} is not finished", "cancel it first, or wait")
        remains = await self.journal.read(questions.remains, target)
        for one in remains:
            if one.file is not None:
                await self.files.delete(one.file)
            if one.job is not None:
                await self.jobs.delete(one.job)
                self.project.evidence.forget(one.job)
                await self.journal.write(job_rows.delete, self.clock.now(), [one.job])
        if not remains:
            return "nothing of it is left at the service"
        return f"{_many(len(remains), 'job')} deleted at the service, with all files"

    async def absent(self, target: SetId, token: IdempotencyKey) -> str:
        """Take the operator's word that the job of a doubtful batch does not exist."""
        stored, batch = await self._of_set(target, token)
        if isinstance(batch, Lapsed) and batch.reason is LapseReason.ABSENT:
            return f"{token} was given up already"
        batch = _doubtful(token, batch)
        why = "the operator says that it does not exist"
        final = batch.part.generation >= from_text(stored.value.info.options).generations_max
        folder = stored.value.info.folder
        await self.work.release(folder, batch.part, why if final else None, UNKNOWN, why)
        await self.journal.record(machine.exclude(batch, self.clock.now(), why))
        return f"{token} is given up; its requests are planned again"

    async def adopt(self, target: SetId, token: IdempotencyKey, job: JobName) -> str:
        """Take the operator's word which job is that of a doubtful batch."""
        _, batch = await self._of_set(target, token)
        if isinstance(batch, Submitted | Ended | Collected) and batch.job == job:
            return f"{token} is submitted as {job} already"
        batch = _doubtful(token, batch)
        try:
            seen = await self.jobs.look(job)
        except Trouble as error:
            raise NotPossible(f"{job} cannot be read: {error}", "try again later") from error
        if isinstance(seen, Gone):
            raise NotPossible(f"the service does not know {job}", "check the name")
        now = self.clock.now()

        def sight(tx: Tx) -> None:
            job_rows.record(tx, now, seen, "ours")

        why = "the operator says that it is this job"
        await self.journal.record(machine.confirm(batch, job, now, why), also=sight)
        return f"{token} is submitted as {job}"

    # ---- how ----------------------------------------------------------------------------------

    async def _get(self, target: SetId) -> StoredSet:
        stored = await self.journal.read(set_rows.find, target)
        if stored is None:
            raise NotPossible(f"there is no set {target!r}", "see `orchestrator status`")
        return stored

    async def _open(self, target: SetId) -> StoredSet:
        stored = await self._get(target)
        if not sets.is_open(stored.value):
            raise NotPossible(f"{target} is {stored.value.state}", "nothing is left to be done")
        return stored

    async def _going_on(self, target: SetId) -> StoredSet:
        stored = await self._open(target)
        if stored.flags.cancel_asked:
            raise being_cancelled(target)
        return stored

    async def _demand_room(self, target: SetId, cap: int | None) -> None:
        """Refuse a cap that the set has reached already: it would be held again at once."""
        spent = await self.journal.read(projects.spend_of_set, target)
        if cap is not None and cap <= spent:
            raise NotPossible(
                f"{target} has cost {caps.usd(spent)} already", "give a cap above that"
            )

    async def _flag(self, stored: StoredSet, after: Flags, why: str) -> None:
        if after != stored.flags:
            name = stored.value.info.id
            await self.journal.write(
                set_rows.flag, self.clock.now(), name, stored.flags, after, why
            )

    async def _reopen(self, stored: StoredSet, over: Delivered | Cancelled) -> str:
        info = over.info
        if info.answered_from is not None:
            raise NotPossible(
                f"{info.name} was answered from {info.answered_from}", "retry that set"
            )
        try:
            await self.work.reopen(info.folder)
            count = await self.work.open_count(info.folder)
        except FileNotFoundError as error:
            why = f"the working files of {info.name} were removed after their retention"
            raise NotPossible(why, "drop its input again") from error
        if count == 0:
            raise NotPossible(f"nothing of {info.name} failed", "its results are complete")
        outbox = await self.journal.read(questions.next_outbox, info.outbox)
        bound = from_text(info.options).batch_bytes_max or self.project.limits().file_max_bytes
        now = self.clock.now()
        after = caps.retried(stored.flags, now)

        def withdraw(tx: Tx) -> None:
            if after != stored.flags:  # else it would be cancelled again, or stay held
                set_rows.flag(tx, now, info.id, stored.flags, after, "retry asked")

        await self.journal.record(sets.reopen(over, outbox, bound), also=withdraw)
        said = f"{_many(count, 'request')} sent again; the results will be in outbox/{outbox}"
        return f"{said}{_still_held(after)}"

    async def _give_up_vanished(self, stored: StoredSet) -> str:
        given_up = await self._let_go(stored.value.info)
        await self._flag(stored, replace(stored.flags, held=None), "retry asked")
        return f"{_many(given_up, 'vanished job')} given up; what was asked of them is sent again"

    async def _has_given_up(self, target: SetId) -> bool:
        rows = await self.journal.read(batch_rows.of_set, target)
        return any(isinstance(row, Lapsed) and row.reason is LapseReason.VANISHED for row in rows)

    async def _let_go(self, info: SetInfo) -> int:
        """Let the batches go whose jobs the service no longer knows; returns how many."""
        given_up = 0
        for row in await self.journal.read(batch_rows.of_set, info.id):
            if not isinstance(row, Submitted | Ended):
                continue
            if not isinstance(await self.jobs.look(row.job), Gone):
                continue
            now = self.clock.now()
            why = f"the operator gives {row.job} up: the service no longer knows it"
            last = row.part.generation >= from_text(info.options).generations_max
            await self.work.release(info.folder, row.part, why if last else None, UNKNOWN, why)
            if isinstance(row, Ended):
                await self.journal.record(machine.lapse(row, LapseReason.VANISHED, now, why))
            else:
                await self.journal.record(machine.vanish(row, now, why))
            given_up += 1
        return given_up

    async def _of_set(self, target: SetId, token: IdempotencyKey) -> tuple[StoredSet, Batch | None]:
        stored = await self._get(target)
        batch = await self.journal.read(batch_rows.get, token)
        of_set = batch is not None and batch.part.request_set == stored.value.info.id
        return stored, batch if of_set else None


def being_cancelled(target: SetId) -> NotPossible:
    """Say that nothing else can be ordered meanwhile."""
    remedy = "wait for its end; `orchestrator retry` then runs what was not answered"
    return NotPossible(f"{target} is being cancelled", remedy)


def _many(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"


def _still_held(flags: Flags) -> str:
    return "" if flags.held is None else f"; but it is held: {flags.held}"


def _is_stopped(flags: Flags) -> bool:
    return flags.paused or flags.held is not None


def _doubtful(token: IdempotencyKey, batch: Batch | None) -> Submitting:
    if isinstance(batch, Submitting) and batch.doubt != "sending":
        return batch
    state = "unknown" if batch is None else batch.state
    remedy = "only a batch in doubt can be declared; see `orchestrator status`"
    if isinstance(batch, Lapsed):
        remedy = "it was given up already"
    raise NotPossible(f"{token} is {state}", remedy)
