"""uploaded (or planned, inline) → submitted: look first, journal, send once, record.

Creating a batch is not idempotent and has no request id, so the order is everything: no create
before the job list was read in this life; the intent is committed before the first byte; it is sent
once; what the outcome means is decided by the phase of the failure; anything uncertain is asked
about before it is ever sent again.

Trouble: a definite no settles or splits what it named; overload and a refused key wait; whatever
leaves the outcome open leaves the batch in doubt, for reconcile.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from orchestrator.domain import batches as machine, ids
from orchestrator.domain.admission import Oversized, admit, is_oversized, probes
from orchestrator.domain.batches import BatchEdge, LapseReason, Part, Submitting, Unsent, Uploaded
from orchestrator.domain.caps import Hold, Wait
from orchestrator.domain.ids import AccountFingerprint, InstallId
from orchestrator.domain.jobs import JobSnapshot
from orchestrator.domain.policy import RetryPolicy, backoff
from orchestrator.ports import (
    Blocked,
    Clock,
    Ids,
    InDoubt,
    Jobs,
    Project,
    Refused,
    SourceChanged,
    Unavailable,
    Work,
)
from orchestrator.store import (
    calibration,
    jobs as job_rows,
    questions,
    queue,
    request_sets as set_rows,
    turn,
)
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal

EXPIRY_MARGIN = timedelta(hours=1)
REFUSALS_MAX = 40  # halving a million requests down to the one at fault takes some twenty
UPLOADS_REFUSED_MAX = 8
FILE_REFUSED = "refused: the input file was not accepted, again and again"
MEND = "mend the lines and drop them again, or `orchestrator resume` to go on as it is"
FOR_ITS_COST = "what is in flight has to tell its cost before a cap on cost allows more"
NOT_FOUND = 5
NAMED_LINE = re.compile(r"^Error on line \d+: *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Submit:
    """Creates jobs: at most one for each batch, ever."""

    journal: Journal
    work: Work
    jobs: Jobs
    clock: Clock
    ids: Ids
    install: InstallId
    project: Project
    retry: RetryPolicy
    tell_priority: bool = False
    paying: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def find(self) -> Sequence[Unsent | Oversized]:
        """Return what is to be split, and what may be sent now in the order of its turn."""
        self.project.sending.waits_for = None
        if self.project.obstacle() is not None:
            return []
        limits, sending = self.project.limits(), self.project.sending
        waiting = [
            one
            for one in await turn.waiting(self.journal, self.clock.now())
            if not sending.rests.holds(one.batch.part.model, self.clock.elapsed())
        ]
        if not waiting:
            return []
        if not self.project.evidence.may_create():
            self.project.look_at(self.clock.elapsed())
            return []
        load = (await self.journal.read(queue.load)).beside(self.project.others())
        admission = admit(waiting, load, limits, self.project.token_limit)
        ready = [one for one in admission.admitted if _is_ready(one) and self._looked_again(one)]
        early = await self.project.too_early([one.part for one in ready])
        sending.waits_for = admission.waits_for or (FOR_ITS_COST if early else None)
        ready = [one for one in ready if one.part.token not in early]
        room = sending.room(self.clock.elapsed(), limits.requests_per_minute)
        return [*admission.oversized, *probes(ready, sending.rests)[:room]]

    def name(self, item: Unsent | Oversized) -> str:
        """Return what tells one item from another while it is worked on."""
        return item.part.token

    async def do(self, item: Unsent | Oversized) -> None:
        """Send one create, after everything that has to be true before it."""
        folder = await self.journal.read(questions.folder, item.part.request_set)
        if isinstance(item, Oversized):
            await self._prepared(item.batch, folder)
        elif (account := await self._prepared(item, folder)) is not None:
            await self._send(item, account, folder)

    async def _prepared(self, item: Unsent, folder: str) -> AccountFingerprint | None:
        """Return for whom a batch may be sent, None if it may not: it is dealt with otherwise."""
        try:
            account = self.jobs.account
        except Blocked as error:
            await self.project.block(error, "create")
            return None
        if not await self._clear(item):
            return None
        if await self.work.sent(folder, item.part.token):
            await self._doubt(
                item, account, "a create of this batch may have been sent in an earlier life"
            )
            return None
        if await self._is_given_back(item):
            return None
        if isinstance(item, Uploaded) and item.file_expires - self.clock.now() < EXPIRY_MARGIN:
            await self._upload_again(item, f"{item.file} expires too soon")
            return None
        return account

    async def _is_given_back(self, item: Unsent) -> bool:
        """Let a batch be planned again in smaller parts if it alone is above what is allowed."""
        known = await self.journal.read(calibration.estimates)
        if not is_oversized(item.part, known, self.project.token_limit):
            return False
        tokens, limit = known.tokens(item.part), self.project.token_limit(item.part.model)
        why = f"alone it has {tokens:,} tokens, {limit:,} may be enqueued: it is split"
        await self.journal.record(machine.drop(item, self.clock.now(), why))
        return True

    def _looked_again(self, item: Unsent) -> bool:
        since = self.project.sending.fresh_after.get(item.part.token)
        if since is None or self.project.evidence.looked_after(since):
            return True
        self.project.look_at(self.clock.elapsed())
        return False

    async def _clear(self, item: Unsent) -> bool:
        """Tell whether no job of this set is known to the list and unknown to the ledger."""
        prefix = ids.set_prefix(self.install, item.part.request_set)
        known = await self.journal.read(questions.jobs_of_set, item.part.request_set)
        strangers = [job for job in self.project.evidence.of_set(prefix) if job.name not in known]
        return not strangers  # watch takes them up: it restores what the ledger has lost

    async def _doubt(self, item: Unsent, account: AccountFingerprint, why: str) -> None:
        intent = machine.intend(item, self.clock.now(), account, self.journal.epoch)
        await self.journal.record(intent, machine.question(intent.after, "in_doubt", why))

    async def _send(self, item: Unsent, account: AccountFingerprint, folder: str) -> None:
        sending, token = self.project.sending, item.part.token
        now, per_minute = self.clock.elapsed(), self.project.limits().requests_per_minute
        if not sending.room(now, per_minute):
            return  # others were quicker
        sending.creates.append(now)
        intent = machine.intend(item, self.clock.now(), account, self.journal.epoch)
        sending.now.add(token)
        try:
            async with self.paying:  # a cap is judged with every earlier intent counted
                match await self.project.afford(item.part):
                    case Wait():
                        return
                    case Hold() as cap:
                        await self.project.hold(item.part.request_set, cap.why, cap.until)
                        return
                    case None:
                        await self.journal.record(intent, also=partial(_demand_work, item.part))
            await self.work.mark_sent(folder, token)
            await self._act(intent.after, folder)
        finally:
            sending.now.discard(token)

    async def _act(self, batch: Submitting, folder: str) -> None:
        file = batch.origin.file if isinstance(batch.origin, Uploaded) else None
        body = self.work.body(folder, batch.part) if file is None else None
        priority = await self._priority(batch.part) if self.tell_priority else None
        try:
            job = await self.jobs.create(batch.part, file, body, priority=priority)
        except SourceChanged as error:
            await self._withdraw(batch, folder, str(error), None)
            await self.project.hold(batch.part.request_set, f"source_changed: {error}")
        except Refused as error:
            await self._refused(batch, folder, error)
        except Blocked as error:
            await self._withdraw(batch, folder, str(error), None)
            self._rest(batch.part.model, None)
            await self.project.block(error, "create")
        except Unavailable as error:
            await self._withdraw(batch, folder, str(error), error.retry_after)
            self._rest(batch.part.model, error.retry_after)
            if error.overloaded:
                await self.project.ease(batch.part)
        except InDoubt as error:
            self.project.sending.doubtful[batch.part.token] = self.clock.elapsed()
            await self.journal.record(machine.question(batch, "in_doubt", str(error)))
            self.project.look_at(self.clock.elapsed())
        else:
            await self._confirm(batch, job)

    async def _priority(self, part: Part) -> int | None:
        """Return what the service is told of its set's priority; 0 is what it assumes anyway."""
        stored = await self.journal.read(set_rows.get, part.request_set)
        assert stored is not None, f"{part.token} has no set"
        return stored.value.info.priority or None

    async def _confirm(self, batch: Submitting, job: JobSnapshot) -> None:
        now = self.clock.now()

        def sight(tx: Tx) -> None:
            job_rows.record(tx, now, job, "ours")

        self.project.sending.failures.pop(batch.part.token, None)
        self.project.sending.rests.end(batch.part.model)
        await self.journal.record(
            machine.confirm(batch, job.name, now, "the create was answered"), also=sight
        )
        await self.project.accepted("create")

    async def _withdraw(
        self, batch: Submitting, folder: str, why: str, least: timedelta | None
    ) -> None:
        sending, token = self.project.sending, batch.part.token
        failures = sending.failures[token] = sending.failures.get(token, 0) + 1
        sending.fresh_after[token] = self.clock.elapsed()
        wait = backoff(self.retry, failures, self.ids.jitter(), least)
        await self.journal.record(machine.withdraw(batch, self.clock.now() + wait, why))
        await self.work.unmark_sent(folder, token)

    def _rest(self, model: str, least: timedelta | None) -> None:
        """Leave the model alone for a while: others of it would meet the same wall."""

        def patience(times: int) -> timedelta:
            return backoff(self.retry, times, self.ids.jitter(), least)

        self.project.sending.rests.begin(model, self.clock.elapsed(), patience)

    async def _refused(self, batch: Submitting, folder: str, error: Refused) -> None:
        part, why = batch.part, str(error)
        if error.no_file and isinstance(batch.origin, Uploaded):
            back = machine.withdraw(batch, self.clock.now(), why)
            assert isinstance(back.after, Uploaded), "a file batch goes back to its file"
            await self._upload_again(back.after, why, back)
            await self.work.unmark_sent(folder, part.token)
            return
        reason = LapseReason.REFUSED
        if error.code == 404:
            await self.work.settle_all(folder, NOT_FOUND, "NOT_FOUND", error.message)
        elif not await self._settle_culprit(part, folder, error):
            reason = LapseReason.INVALID
        refused = 0

        def count(tx: Tx) -> None:  # here, so that each number is seen once
            nonlocal refused
            refused = questions.refusals(tx, part.request_set)

        refusal = machine.refuse(batch, self.clock.now(), why, reason)
        await self.journal.record(refusal, also=count)
        await self._mind_the_refusals(part, refused, error)

    async def _upload_again(self, item: Uploaded, why: str, *before: BatchEdge) -> None:
        """Let a file be sent again, under the next name and less and less often; then hold."""
        now, count = self.clock.now(), item.upload
        wait = backoff(self.retry, count, self.ids.jitter())
        await self.journal.record(*before, machine.forget(item, now + wait, why))
        if count % UPLOADS_REFUSED_MAX == 0:
            await self.project.hold(item.part.request_set, f"{FILE_REFUSED}: {why}; {MEND}")

    async def _mind_the_refusals(self, part: Part, refused: int, error: Refused) -> None:
        """A mistake in every line costs nothing but would be worked off line by line, for ever."""
        if refused % REFUSALS_MAX == 0:
            why = f"refused: {refused} creates of this set, the last with {error.message!r}"
            await self.project.hold(part.request_set, f"{why}; {MEND}")

    async def _settle_culprit(self, part: Part, folder: str, error: Refused) -> bool:
        """Settle the request at fault as an error; False if nobody knows which of them it is."""
        line = 1 if part.count == 1 else error.line
        if line is None:
            return False
        words = NAMED_LINE.sub("", error.message)  # counted in what was sent: not the user's line
        return await self.work.settle_line(folder, part, line, words or error.message)


def _demand_work(part: Part, tx: Tx) -> None:
    """Let the intent fail when the operator has stopped the set since this batch was found."""
    set_rows.demand_work(tx, part.request_set)


def _is_ready(batch: Unsent) -> bool:
    """Tell whether nothing has to be uploaded before; what has keeps its place meanwhile."""
    return batch.part.mode == "inline" or isinstance(batch, Uploaded)
