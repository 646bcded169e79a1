"""in doubt → submitted, or proven absent: leave doubt by evidence only.

A job that is found under the batch's token is adopted. Absence is believed after the window of
late creates and list lag, seen in scans that can prove it; then the input file is deleted, so that
a create still under way has nothing to run, and one more scan is waited for. With `hold` the
operator alone may say that a job does not exist.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.domain import batches as machine, doubts
from orchestrator.domain.batches import Submitting, Uploaded
from orchestrator.domain.evidence import SCANS_WEAK_MIN, Absence
from orchestrator.domain.jobs import JobSnapshot, has_ended, more_advanced
from orchestrator.domain.options import from_text
from orchestrator.domain.policy import SubmissionPolicy
from orchestrator.ports import Blocked, Clock, Files, Jobs, Project, Unavailable, Work
from orchestrator.store import (
    batches as batch_rows,
    jobs as job_rows,
    notices,
    request_sets as set_rows,
)
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal

UNKNOWN = 2  # google.rpc.Code of a request whose job was never found


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Settles what became of creates without an answer."""

    journal: Journal
    work: Work
    jobs: Jobs
    files: Files
    clock: Clock
    project: Project
    policy: SubmissionPolicy

    async def find(self) -> Sequence[Submitting]:
        """Return the intents without an outcome that nobody is sending in this life."""
        rows = await self.journal.read(batch_rows.in_state, "submitting")
        sending = self.project.sending.now
        return [
            row for row in rows if isinstance(row, Submitting) and row.part.token not in sending
        ]

    def name(self, item: Submitting) -> str:
        """Return what tells one item from another while it is worked on."""
        return item.part.token

    async def do(self, item: Submitting) -> None:
        """Bring one doubt as far as the evidence allows."""
        if not self._is_our_account(item):
            return
        token, evidence = item.part.token, self.project.evidence
        found = evidence.matches(token)
        if found:
            await self._adopt(item, found)
        elif item.doubt == "sending":
            why = "the daemon stopped while the create was under way"
            await self.journal.record(machine.question(item, "in_doubt", why))
        elif item.doubt == "in_doubt" or await self._is_given_up(item):
            await self._weigh(item)
        elif item.doubt == "fenced":
            await self._exclude_behind_the_fence(item)

    async def _is_being_cancelled(self, item: Submitting) -> bool:
        """Tell whether nothing of the set will be sent again, so that nobody need be asked."""
        return await self.journal.read(set_rows.is_cancel_asked, item.part.request_set)

    async def _is_given_up(self, item: Submitting) -> bool:
        return item.doubt == "held" and await self._is_being_cancelled(item)

    def _is_our_account(self, item: Submitting) -> bool:
        """Another account's list proves nothing about this job: it waits for its own key."""
        try:
            return item.account == self.jobs.account
        except Blocked:
            return False

    async def _adopt(self, item: Submitting, found: Sequence[JobSnapshot]) -> None:
        best, *others = sorted(found, key=more_advanced)
        file = item.origin.file if isinstance(item.origin, Uploaded) else None
        theirs = best.input_file is not None and best.input_file != file
        if theirs and not await self._is_being_cancelled(item):
            why = f"{best.name} bears this batch's token but has the input file {best.input_file}"
            await self.project.hold(item.part.request_set, f"{why}; cancel it or the set")
            return
        now = self.clock.now()

        def sight(tx: Tx) -> None:
            job_rows.record(tx, now, best, "ours")

        why = "found in the job list by its token"
        await self.journal.record(machine.confirm(item, best.name, now, why), also=sight)
        self._forget(item)
        for twin in others:
            await self._end_twin(item, twin)

    async def _end_twin(self, item: Submitting, twin: JobSnapshot) -> None:
        detail = f"{twin.name} is a second job for the requests of {item.part.token}"
        await self.project.book("paid_twice_suspected", item.part, detail)
        now = self.clock.now()
        await self.journal.write(job_rows.record, now, twin, "twin")
        if not has_ended(twin):
            with suppress(Unavailable):  # watch cancels it at its next look
                await self.jobs.cancel(twin.name)

    async def _weigh(self, item: Submitting) -> None:
        now, token = self.clock.elapsed(), item.part.token
        since = self.project.sending.doubtful.setdefault(token, now)
        absence = self.project.evidence.absence(since)
        if absence is Absence.UNPROVEN:
            self.project.look_at(self.project.evidence.next_scan(since, now))
            return
        if self.policy.hold and not await self._is_being_cancelled(item):
            await self._ask(item)
            return
        if absence is Absence.WEAK:
            detail = f"no job list ever showed a job known to exist while {token} was in doubt"
            await self.project.book("weak_evidence", item.part, detail)
        if isinstance(item.origin, Uploaded):
            await self._fence(item, item.origin)
        else:
            await self._exclude(item, "absent from the job list beyond the window")

    async def _ask(self, item: Submitting) -> None:
        """Leave it to the operator, who is told of it in the same transaction."""
        set_id = item.part.request_set
        told = "; ".join(doubts.asked(set_id, [item.part.token]))
        now = self.clock.now()

        def tell(tx: Tx) -> None:
            stored = set_rows.get(tx, set_id)
            assert stored is not None, f"{item.part.token} has no set"
            notices.enqueue_held(tx, now, set_id, stored.value.info.name, told)

        why = "not in the job list, and in_doubt = hold: say whether it exists"
        await self.journal.record(machine.question(item, "held", why), also=tell)

    async def _fence(self, item: Submitting, origin: Uploaded) -> None:
        why = "absent beyond the window; its input file is deleted so that nothing late can run"
        await self.journal.record(machine.question(item, "fenced", why))
        await self._delete_file(item, origin)

    async def _delete_file(self, item: Submitting, origin: Uploaded) -> bool:
        try:
            await self.files.delete(origin.file)
        except Unavailable:
            return False
        self.project.sending.fenced[item.part.token] = self.clock.elapsed()
        self.project.look_at(self.clock.elapsed() + self.policy.list_lag.total_seconds())
        return True

    async def _exclude_behind_the_fence(self, item: Submitting) -> None:
        assert isinstance(item.origin, Uploaded), "only a file can be fenced"
        fenced = self.project.sending.fenced.get(item.part.token)
        if fenced is None:
            await self._delete_file(item, item.origin)
            return
        behind = fenced + self.policy.list_lag.total_seconds()
        evidence = self.project.evidence
        if evidence.sound_after(behind) or self._weak_after(behind):
            await self._exclude(item, "absent from the job list behind the fence")
        else:
            self.project.look_at(max(behind, self.clock.elapsed()) + 1.0)

    def _weak_after(self, when: float) -> bool:
        """Without a positive control behind the fence later scans have to do, and many of them."""
        lag = self.policy.list_lag.total_seconds()
        looks = [look for look in self.project.evidence.looks if look.began > when]
        return len(looks) >= SCANS_WEAK_MIN and looks[-1].began > when + lag

    async def _exclude(self, item: Submitting, why: str) -> None:
        stored = await self.journal.read(set_rows.get, item.part.request_set)
        assert stored is not None, f"{item.part.token} has no set"
        folder = stored.value.info.folder
        final = item.part.generation >= from_text(stored.value.info.options).generations_max
        told = f"generation {item.part.generation}: its job was never found at the provider"
        await self.work.release(folder, item.part, told if final else None, UNKNOWN, told)
        await self.journal.record(machine.exclude(item, self.clock.now(), why))
        self._forget(item)

    def _forget(self, item: Submitting) -> None:
        for memory in (self.project.sending.doubtful, self.project.sending.fenced):
            memory.pop(item.part.token, None)
