"""ended → collected: the answers are on our disk, whole and paired, before the row says so.

Every request of a batch comes out as an answer, a lasting error or back in the pool: the sum is
proven, or the set is held. Output is looked for whatever the job's end was called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from orchestrator.domain import batches as machine, request_sets as sets
from orchestrator.domain.batches import Ended, Lapsed, LapseReason
from orchestrator.domain.calibration import guess, text_bytes
from orchestrator.domain.ends import LAPSES, code_of, held_the_first_of, remedy_for
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.domain.jobs import Gone, JobState
from orchestrator.domain.moves import Move
from orchestrator.domain.options import Choice, from_text
from orchestrator.domain.patience import Patience
from orchestrator.domain.policy import Remedy, RetryPolicy, backoff
from orchestrator.domain.request_sets import SHORT, Running, SetInfo
from orchestrator.ports import (
    Blocked,
    Clock,
    Ids,
    Jobs,
    JoinOrder,
    JoinReport,
    Outbox,
    Output,
    Project,
    Refused,
    Unavailable,
    Work,
)
from orchestrator.store import batches as batch_rows, projects, questions, request_sets as set_rows
from orchestrator.store.database import Tx
from orchestrator.store.errors import StaleTransition
from orchestrator.store.journal import Journal

TRIES = 5
GONE_TRIES = 5
NO_ANSWERS = "what is fetched as its output answers none of its requests; it is fetched again"
ROOM_FAILURES = 3  # waits begin as after so many refusals
ROOM_WAIT_MAX = timedelta(hours=1)


@dataclass(slots=True)
class Collect:
    """Brings answers home; `all_failed` are the models that were warned of."""

    journal: Journal
    work: Work
    outbox: Outbox
    jobs: Jobs
    clock: Clock
    ids: Ids
    project: Project
    retry: RetryPolicy
    patience: dict[IdempotencyKey, Patience] = field(default_factory=dict)
    all_failed: frozenset[str] = frozenset()

    async def find(self) -> Sequence[Ended]:
        """Return the ended batches whose answers are due."""
        rows = await self.journal.read(batch_rows.in_state, "ended")
        now = self.clock.elapsed()
        waiting = {token for token, one in self.patience.items() if one.not_before > now}
        return [row for row in rows if isinstance(row, Ended) and row.part.token not in waiting]

    def name(self, item: Ended) -> str:
        """Return what tells one item from another while it is worked on."""
        return item.part.token

    async def do(self, item: Ended) -> None:
        """Download, pair and count the answers of one batch."""
        stored = await self.journal.read(set_rows.get, item.part.request_set)
        assert stored is not None, f"{item.part.token} has no set"
        info = stored.value.info
        try:
            there = await self._fetch(item, info)
        except Blocked as error:
            await self.project.block(error, "read")
            self._wait(item, self.retry.backoff_max)
            return
        except Unavailable as error:
            self._wait(item, error.retry_after)
            return
        if there is None:
            self._wait(item, None)
        elif there:
            await self._join(item, info)
        else:
            await self._lapse(item, info)

    # ---- the answers come ---------------------------------------------------------------------

    async def _fetch(self, item: Ended, info: SetInfo) -> bool | None:
        """Bring the answers to disk. False: there are none; None: there may be, later.

        What was paid for and answered is never given up for want of its file.
        """
        if await self.work.have_answers(info.folder, item.part.token):
            return True
        job = await self.jobs.look(item.job)
        if isinstance(job, Gone):
            return await self._gone(item)
        never = None if await self._is_owed(item) else False
        if item.part.mode == "file" and job.output is None:
            return never
        self._patience(item).promised = job.succeeded or 0
        sink = self.work.answers(info.folder, item.part.token)
        try:
            await self.jobs.download(Output(item.job, job.output), sink)
        except Refused:
            return never
        if sink.size == 0 and item.outcome is not JobState.SUCCEEDED:
            return False
        await self.work.keep_answers(info.folder, item.part.token)
        return True

    async def _is_owed(self, item: Ended) -> bool:
        """Tell whether there must be answers; of a cancelled set they are not waited for long."""
        if item.outcome is not JobState.SUCCEEDED or self._patience(item).failures < GONE_TRIES:
            return item.outcome is JobState.SUCCEEDED
        return not await self.journal.read(set_rows.is_cancel_asked, item.part.request_set)

    async def _gone(self, item: Ended) -> bool | None:
        """Somebody deleted the job: what it may have answered is for the operator to give up."""
        if not await self._is_owed(item):
            return False
        if self._patience(item).failures >= GONE_TRIES:
            why = f"vanished: {item.job} was deleted before its answers were fetched"
            remedy = "`orchestrator retry` runs its requests again, which is paid again"
            await self.project.hold(item.part.request_set, f"{why}; {remedy}")
        return None

    async def _join(self, item: Ended, info: SetInfo) -> None:
        choice = from_text(info.options)
        as_it_is = self._patience(item).is_at_an_end(self.clock.elapsed(), self.retry.backoff_max)
        order = JoinOrder(
            item.part,
            item.job,
            self.retry.retryable,
            last=item.part.generation >= choice.generations_max,
            as_it_is=as_it_is,
            least=await self._promised(item) if as_it_is else 0,
        )
        report = await self.work.join(info.folder, order)
        if report.foreign:
            await self._set_aside(item, info, report)
        elif self._is_short(item, report):
            await self.work.drop_answers(info.folder, item.part.token)
            self._wait(item, None)
            if as_it_is:
                await self._hold_short(item, report)
        else:
            await self._record(item, info, choice, report)

    async def _promised(self, item: Ended) -> int:
        """Return how many lines the output must have; none if somebody takes it as it is."""
        taken = await self.journal.read(questions.takes_short, item.part.request_set)
        return 0 if taken else self._patience(item).promised

    async def _hold_short(self, item: Ended, report: JoinReport) -> None:
        """What the job says that it has answered is paid for: it is not sent again unasked."""
        owed, there = self._patience(item).promised, report.lines - report.doubled
        why = f"{SHORT}: {item.job} says that {owed} of its requests succeeded, and what is fetched"
        why += f" as its output has {there} lines; it is fetched again. `orchestrator retry` takes "
        why += "it as it is and sends what it lacks again, which is paid again; `orchestrator "
        why += "cancel` delivers what it has"
        await self.project.hold(item.part.request_set, why)

    async def _set_aside(self, item: Ended, info: SetInfo, report: JoinReport) -> None:
        """Hold a set whose answers are not to be trusted; cancelled, it ends without them."""
        why = f"foreign_answers: {item.job} has {report.foreign} answers to requests it was not "
        why += "sent; they are kept in work/ and nothing is delivered"
        if await self.journal.read(set_rows.is_cancel_asked, info.id):
            await self._release(item, info, Remedy.AGAIN, why)
            await self._apply_lapse(item, LapseReason.CANCELLED, why)
        else:
            await self.project.hold(info.id, why)
            self._wait(item, self.retry.backoff_max)

    def _is_short(self, item: Ended, report: JoinReport) -> bool:
        """Tell whether another download is worth it: the file may not have been all there."""
        if not report.whole:
            answered = report.lines - report.malformed
            self._patience(item).fell_short(self.clock.elapsed(), answered=answered)
            self.project.report("no_answers", item.job, None if answered else NO_ANSWERS)
        return not report.whole

    async def _record(self, item: Ended, info: SetInfo, choice: Choice, report: JoinReport) -> None:
        part, now = item.part, self.clock.now()
        if choice.parts:
            await self.outbox.publish_part(info, part)
        cost = await self.project.price(part, report.usage)

        def learn(tx: Tx) -> None:
            if cost is not None:
                projects.charge(tx, part.token, cost)
            seen = part.wire_bytes * report.tally.answered // part.count
            seen = text_bytes(seen, guess(info.tokens, info.content_bytes))
            projects.observe_usage(tx, now, part.project, part.model, report.usage.prompt, seen)
            set_rows.lift(tx, now, part.request_set, SHORT, f"the output of {item.job} is taken")

        await self.journal.record(
            machine.collect(item, report.tally, report.usage, now), also=learn
        )
        if self.patience.pop(part.token, Patience()).shortfalls:
            self.project.report("no_answers", item.job, None)
        self._mind_failures(item, report)
        await self.project.accepted("read")

    def _mind_failures(self, item: Ended, report: JoinReport) -> None:
        """Warn of a job that succeeded with nothing but errors, until one of its model is well."""
        why, model = None, item.part.model
        if not report.tally.answered:
            why = f"{item.job} succeeded and all of its {item.part.count} requests failed"
        if why is not None or model in self.all_failed:
            self.project.report("all_failed", model, why)
        self.all_failed = self.all_failed | {model} if why else self.all_failed - {model}

    # ---- no answers ---------------------------------------------------------------------------

    async def _lapse(self, item: Ended, info: SetInfo) -> None:
        part, reason, remedy = item.part, LAPSES[item.outcome], remedy_for(item)
        why = f"{item.job} {reason.value}"
        if item.error:
            why += f" ({item.error.code}: {item.error.message})"
        if remedy is Remedy.SPLIT and part.count > 1:
            reason = LapseReason.INVALID  # its requests stay in the pool of this generation
        elif remedy is Remedy.LATER:
            await self._make_room(item, info)  # and so do these
        else:
            await self._release(item, info, remedy, why)
        await self._apply_lapse(item, reason, why)
        self.patience.pop(part.token, None)

    async def _release(self, item: Ended, info: SetInfo, remedy: Remedy, why: str) -> None:
        part = item.part
        generations_max = from_text(info.options).generations_max
        last = remedy in (Remedy.SPLIT, Remedy.GIVE_UP) or part.generation >= generations_max
        code = code_of(item)
        tries = f"generation {part.generation}: {why}"
        await self.work.release(info.folder, part, tries if last else None, code, tries)

    async def _make_room(self, item: Ended, info: SetInfo) -> None:
        """There was no room for the job to run: that was no try, whatever the time it takes.

        Its model is left alone for a while that doubles each time, up to `ROOM_WAIT_MAX`.
        """
        part, retry = item.part, replace(self.retry, backoff_max=ROOM_WAIT_MAX)
        rows = await self.journal.read(batch_rows.of_set, info.id)
        before = sum(held_the_first_of(row, part) for row in rows)

        def patience(times: int) -> timedelta:
            failures = max(times, before + 1) + ROOM_FAILURES
            return backoff(retry, failures, self.ids.jitter())

        await self.work.unmark_sent(info.folder, part.token)  # nothing of it is due any more
        await self.project.ease(part)
        self.project.sending.rests.begin(part.model, self.clock.elapsed(), patience)

    async def _apply_lapse(self, item: Ended, reason: LapseReason, why: str) -> None:
        for _ in range(TRIES):
            stored = await self.journal.read(set_rows.get, item.part.request_set)
            assert stored is not None, f"{item.part.token} has no set"
            lapse: Move[Ended, Lapsed] = machine.lapse(item, reason, self.clock.now(), why)
            narrower = self._narrower(item, reason)
            try:
                if narrower is not None and isinstance(stored.value, Running):
                    bound = min(stored.value.batch_bytes_max, narrower)
                    narrow = sets.narrow(stored.value, bound, why)
                    await self.journal.record(lapse, narrow)
                else:
                    await self.journal.record(lapse)
            except StaleTransition:
                continue
            return

    def _narrower(self, item: Ended, reason: LapseReason) -> int | None:
        """Halve after an expiry and after a failure that the size may explain."""
        smaller = reason is LapseReason.EXPIRED or remedy_for(item) is Remedy.LATER
        floor = self.project.limits().batch_bytes_min
        return max(item.part.wire_bytes // 2, floor) if smaller else None

    # ---- patience -----------------------------------------------------------------------------

    def _patience(self, item: Ended) -> Patience:
        return self.patience.setdefault(item.part.token, Patience())

    def _wait(self, item: Ended, least: timedelta | None) -> None:
        patience = self._patience(item)
        patience.failures += 1
        wait = backoff(self.retry, patience.failures, self.ids.jitter(), least)
        patience.not_before = self.clock.elapsed() + wait.total_seconds()
