"""submitted → ended, by reading the job list: one call per page, whatever the number of jobs.

The same walk is the evidence for reconcile and look-first, finds twins, and takes up what a ledger
that was rolled back has lost.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from orchestrator.domain import batches as machine, ids
from orchestrator.domain.batches import Lapsed, Planned, Submitted, Submitting, Uploaded
from orchestrator.domain.ids import IdempotencyKey, InstallId, JobName, SetId
from orchestrator.domain.jobs import Gone, JobSnapshot, JobState, Scan, has_ended
from orchestrator.domain.others import Others, beside
from orchestrator.domain.policy import PollPolicy, RetryPolicy, backoff, next_look
from orchestrator.domain.request_sets import Indexed, Received
from orchestrator.ports import Blocked, Clock, Ids, Jobs, Project, Unavailable, Work, part_of
from orchestrator.store import (
    batches as batch_rows,
    calibration,
    jobs as job_rows,
    questions,
    queue,
    request_sets as set_rows,
)
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal

CONTROLS_ASKED = 2  # of those that are live, and of the others
GONE_AFTER = timedelta(minutes=10)


@dataclass(slots=True)
class Memory:
    """What the watcher remembers within one life; losing it costs a few calls."""

    failures: int = 0
    missing_since: dict[JobName, float] = field(default_factory=dict)
    twins: set[JobName] = field(default_factory=set)
    states: dict[JobName, str] = field(default_factory=dict)
    watched: frozenset[JobName] = frozenset()  # our live jobs as the last look began
    hurried: bool = False  # a look was asked for because of jobs that began since


@dataclass(frozen=True, slots=True)
class Watch:
    """Reads the job list and draws what follows from it.

    `mind` is handed the jobs that were under way, to judge how long they take.
    """

    journal: Journal
    work: Work
    jobs: Jobs
    clock: Clock
    ids: Ids
    install: InstallId
    project: Project
    poll: PollPolicy
    retry: RetryPolicy
    mind: Callable[[Sequence[Submitted]], Awaitable[None]]
    memory: Memory = field(default_factory=Memory)

    async def find(self) -> Sequence[str]:
        """Return one item when the list is due."""
        live = () if self.memory.hurried else await self._live()
        if any(row.job not in self.memory.watched for row in live):
            self.memory.hurried = True
            soon = next_look(self.poll, timedelta(0), self.ids.jitter())
            self.project.look_at(self.clock.elapsed() + soon.total_seconds())
        return ["list"] if self.clock.elapsed() >= self.project.next_scan() else []

    def name(self, item: str) -> str:
        """Return what tells one item from another while it is worked on."""
        return item

    async def do(self, item: str) -> None:
        """Walk the list once and act upon what it shows."""
        mine = {row.job: row for row in await self._live()}
        self.memory.watched, self.memory.hurried = frozenset(mine), False
        controls = await self.journal.read(questions.controls)
        began = self.clock.elapsed()
        scan = await self._scan()
        if scan is None:
            return
        scan = await self._doubted(scan, controls, set(mine))
        self.project.evidence.add(scan, began, controls)
        self.project.saw(scan, await self._others(scan) if scan.complete else None)
        await self._note(scan, controls)
        shown = {job.name: job for job in scan.jobs}
        for name, batch in mine.items():
            if name in shown:
                await self._advance(batch, shown[name])
            elif scan.complete:
                await self._ask_for(batch)
        await self._account_for_the_rest(scan, controls)
        await self.mind(list(mine.values()))
        youngest = min((self.clock.now() - row.submitted_at for row in mine.values()), default=None)
        wait = next_look(self.poll, youngest, self.ids.jitter()) if youngest is not None else None
        self.project.scanned(wait)

    async def _live(self) -> Sequence[Submitted]:
        rows = await self.journal.read(batch_rows.in_state, "submitted")
        return [row for row in rows if isinstance(row, Submitted)]

    async def _scan(self) -> Scan | None:
        try:
            scan = await self.jobs.scan()
        except Blocked as error:
            await self.project.block(error, "list")
            self.project.backed_off(self.retry.backoff_max)
            return None
        except Unavailable as error:
            self.memory.failures += 1
            jitter, least = self.ids.jitter(), error.retry_after
            self.project.backed_off(backoff(self.retry, self.memory.failures, jitter, least))
            if self.memory.failures > 1:  # once is weather
                self.project.report("unreachable", "", f"the service cannot be asked: {error}")
            return None
        self.memory.failures = 0
        self.project.report("unreachable", "", None)
        await self.project.accepted("list")
        return scan

    async def _doubted(self, scan: Scan, controls: frozenset[JobName], live: set[JobName]) -> Scan:
        """A list that shows none of the jobs known to exist is no evidence while one still does.

        Jobs that are really gone prove nothing any more and are asked about no longer.
        """
        if not scan.complete or any(job.name in controls for job in scan.jobs):
            return scan
        asked = [*sorted(live)[:CONTROLS_ASKED], *sorted(controls - live)[:CONTROLS_ASKED]]
        for name in asked:
            try:
                seen = await self.jobs.look(name)
            except Unavailable:
                return replace(scan, complete=False, trouble="its control cannot be asked for")
            if not isinstance(seen, Gone):
                why = f"it does not show {name}, which exists"
                return replace(scan, complete=False, trouble=why)
            if name not in live:
                await self.journal.write(job_rows.delete, self.clock.now(), [name])
        return scan

    async def _others(self, scan: Scan) -> Others:
        """Count the active jobs that no live batch stands for, as the ledger is after the scan."""
        ours = await self.journal.read(queue.active)
        strangers = beside(scan.jobs, ours)
        known = await self.journal.read(calibration.estimates)
        tokens: Counter[str] = Counter()
        for job in strangers:
            if job.display_name.startswith(ids.install_prefix(self.install)):
                row = await self.journal.read(batch_rows.get, IdempotencyKey(job.display_name))
                tokens[job.model] += known.tokens(row.part) if row is not None else 0
        return Others(len(strangers), tokens)

    async def _note(self, scan: Scan, controls: frozenset[JobName]) -> None:
        """Record how far our jobs have come, when that has changed."""
        now = self.clock.now()
        changed = [
            job
            for job in scan.jobs
            if job.name in controls and self.memory.states.get(job.name) != str(job.state)
        ]
        if not changed:
            return

        def sight(tx: Tx) -> None:
            for job in changed:
                job_rows.record(tx, now, job, "ours")

        await self.journal.write(sight)
        self.memory.states.update((job.name, str(job.state)) for job in changed)

    async def _advance(self, batch: Submitted, job: JobSnapshot) -> None:
        self.memory.missing_since.pop(job.name, None)
        if has_ended(job):
            assert isinstance(job.state, JobState), "an end is a known state"
            move = machine.end(batch, job.state, job.error, self.clock.now())
            await self.journal.record(move)

    async def _ask_for(self, batch: Submitted) -> None:
        """A complete list does not show a job of ours: ask for it, patiently."""
        try:
            seen = await self.jobs.look(batch.job)
        except Unavailable:
            return
        if not isinstance(seen, Gone):
            await self._advance(batch, seen)
            return
        folder = await self.journal.read(questions.folder, batch.part.request_set)
        if await self.work.have_answers(folder, batch.part.token):
            why = JobState.SUCCEEDED  # its answers are here: the ledger was rolled back
            await self.journal.record(machine.end(batch, why, None, self.clock.now()))
            return
        now = self.clock.elapsed()
        since = self.memory.missing_since.setdefault(batch.job, now)
        if now - since < GONE_AFTER.total_seconds():
            return
        lost = f"vanished: the service no longer knows {batch.job}"
        remedy = "`orchestrator retry` runs its requests again and may pay twice"
        if await self.journal.read(set_rows.is_cancel_asked, batch.part.request_set):
            await self.journal.record(machine.vanish(batch, self.clock.now(), lost))
        else:
            await self.project.hold(batch.part.request_set, f"{lost}; {remedy}")

    async def _account_for_the_rest(self, scan: Scan, controls: frozenset[JobName]) -> None:
        known = controls | self.memory.twins
        prefix = ids.install_prefix(self.install)
        for job in scan.jobs:
            if job.name not in known and job.display_name.startswith(prefix):
                await self._place(job)

    async def _place(self, job: JobSnapshot) -> None:
        """Find out whose a job is that bears our prefix and is not in the ledger."""
        token = IdempotencyKey(job.display_name)
        seen = (await self.journal.read(job_rows.known, [job.name])).get(job.name)
        if seen is not None and seen.role == "ours":
            return  # of a batch that is over: kept for a while, or deleted and still listed
        row = await self.journal.read(batch_rows.get, token)
        match row:
            case None:
                await self._restore(job, token)
            case Submitting():
                return  # reconcile takes it
            case Planned() | Uploaded():
                await self._take_up(row, job)
            case _ if getattr(row, "job", None) == job.name:
                return
            case _:
                await self._end_twin(row.part, job, late=isinstance(row, Lapsed))

    async def _take_up(self, row: Planned | Uploaded, job: JobSnapshot) -> None:
        now = self.clock.now()

        def sight(tx: Tx) -> None:
            job_rows.record(tx, now, job, "ours")

        why = "the job list shows it, the ledger had lost it"
        try:
            account = self.jobs.account
        except Blocked:
            return  # the key went away after the scan: at the next one
        intent = machine.intend(row, now, account, self.journal.epoch)
        confirm = machine.confirm(intent.after, job.name, now, why)
        await self.journal.record(intent, confirm, also=sight)

    async def _restore(self, job: JobSnapshot, token: IdempotencyKey) -> None:
        name = ids.set_of(token, self.install)
        stored = await self.journal.read(set_rows.get, name) if name else None
        if stored is None:
            await self._report_stray(job)
            return
        plans = await self.work.planned(stored.value.info.folder)
        if token not in plans and stored.flags.cancel_asked:
            await self._end(job)
            return
        if token not in plans:
            why = f"unknown_job: {job.name} bears this set's name and its plan is not here"
            await self.project.hold(SetId(stored.value.info.id), f"{why}; cancel it or the set")
            return
        part = part_of(stored.value.info, ids.generation_in(token), plans[token])
        if await self.journal.read(questions.overlaps, part.request_set, part.lo, part.hi):
            return  # once the live batch of its requests is over; until then nothing is created
        if isinstance(stored.value, Received | Indexed):
            return  # until it is judged and planned: its plan is found again then, or here
        await self.journal.plan([Planned(part, 1, self.clock.now())])

    async def _report_stray(self, job: JobSnapshot) -> None:
        await self.journal.write(job_rows.record, self.clock.now(), job, "stray")
        self.memory.twins.add(job.name)
        detail = f"{job.name} ({job.display_name}) is not in the ledger"
        await self.project.book("stray", None, detail)

    async def _end_twin(self, part: machine.Part, job: JobSnapshot, *, late: bool) -> None:
        kind = "a job of a batch that was given up as absent" if late else "a second job"
        detail = f"{job.name} is {kind} for the requests of {part.token}"
        known = await self.journal.read(job_rows.known, [job.name])
        if job.name not in known:
            await self.journal.write(job_rows.record, self.clock.now(), job, "twin")
            await self.project.book("paid_twice_suspected", part, detail)
        await self._end(job)

    async def _end(self, job: JobSnapshot) -> None:
        """Let a job end that nobody waits for, and mind it no more once that is done."""
        self.memory.twins.add(job.name)
        if not has_ended(job):
            try:
                await self.jobs.cancel(job.name)
            except Unavailable:
                self.memory.twins.discard(job.name)  # again at the next look
