"""inbox → set: claim a drop, read it once, accept or reject it as a whole.

Trouble: a drop that cannot be used is rejected with its reason and the others go on; a full
or failing disk stops us.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.domain import ids, request_sets as machine
from orchestrator.domain.batches import Kind
from orchestrator.domain.fitting import Judged, NotYet, Verdict
from orchestrator.domain.ids import ContentHash, Fingerprint, InstallId, ProjectName, SetId
from orchestrator.domain.options import BadOptions, Choice, to_text
from orchestrator.domain.request_sets import Delivered, Received, SetInfo
from orchestrator.ports import (
    Claim,
    Clock,
    Drop,
    Inbox,
    IndexOrder,
    IndexReport,
    Outbox,
    OutboxTaken,
    Work,
)
from orchestrator.store import questions, request_sets as set_rows
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal
from orchestrator.store.request_sets import StoredSet

UNREAD = IndexReport(0, 0, 0, 0, ContentHash(""), 0, 0, 0, None)
NO_CHOICE = Choice(
    profile="",
    project=ProjectName("default"),
    model="",
    kind="generate",
    priority=0,
    requests_max=None,
    batch_bytes_max=None,
    generations_max=1,
    parts=False,
    duplicate_keys="reject",
    duplicate_set="run",
    idempotency_key=None,
    defaults=None,
    shape="off",
    flaws_max_fraction=0.0,
    cost_max_micros=None,
    canonical="{}",
)
LOOK_SECONDS = 30.0  # for claims that nobody has a reason to look for


@dataclass(slots=True)
class Memory:
    """What this life knows of claims that were not carried to their end; at first: nothing."""

    left_over: bool = True
    next_look: float = 0.0


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns drops into sets.

    `choose` resolves the options of a drop (its profile and the text of its options file) and
    raises BadOptions; `lines` bounds a line's bytes, `flaws` how many flaws are written down.
    `fits` judges a model for a kind of requests. `room` tells why nothing may be claimed now (too
    little free space), or None. `busy` are the folders at work in this life, `later` those that
    wait for a word of the service about their model, until when (elapsed seconds).
    """

    journal: Journal
    inbox: Inbox
    work: Work
    outbox: Outbox
    fits: Callable[[str, Kind], Awaitable[Verdict]]
    clock: Clock
    install: InstallId
    choose: Callable[[str, str | None], Choice]
    room: Callable[[], str | None]
    line_bytes_max: int = 20_000_000
    flaws_kept_max: int = 100_000
    busy: set[str] = field(default_factory=set)
    later: dict[str, float] = field(default_factory=dict)
    claiming: asyncio.Lock = field(default_factory=asyncio.Lock)
    naming: asyncio.Lock = field(default_factory=asyncio.Lock)
    memory: Memory = field(default_factory=Memory)

    async def find(self) -> Sequence[Drop | Claim]:
        """Return claims that were not carried to their end, then complete drops."""
        claims = await self._left_over()
        if self.room() is not None:
            return claims
        return [*claims, *await self.inbox.scan()]

    async def _left_over(self) -> Sequence[Claim]:
        """Return claims of an earlier life, and of this one if something kept them from their end.

        What is being carried now is nobody else's. Without a reason they are looked for seldom.
        """
        memory, now = self.memory, self.clock.elapsed()
        if not memory.left_over and now < memory.next_look:
            return []
        memory.left_over, memory.next_look = False, now + LOOK_SECONDS
        settled = await self.journal.read(questions.settled_folders)
        async with self.claiming:  # a claim that is being made is nobody else's
            lying = await self.inbox.claims(settled)
        waiting = {folder for folder, until in self.later.items() if until > now}
        held = self.busy | waiting
        claims = [c for c in await self._sent_first(lying) if c.folder not in held]
        memory.left_over |= bool(claims) or bool(waiting)
        return claims

    async def _sent_first(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Let claims wait until those are registered again that were planned in an earlier life.

        A ledger that was lost no longer knows which drop was answered from which: taken before its
        first run, a drop would be run, and paid, itself.
        """
        named = [claim for claim in claims if claim.run >= 0 and claim.trouble is None]
        sent = [claim for claim in named if await self.work.planned(claim.folder)]
        return sent or claims

    def name(self, item: Drop | Claim) -> str:
        """Return what tells one item from another while it is worked on."""
        return item.folder if isinstance(item, Claim) else f"{item.profile}/{item.name}"

    async def do(self, item: Drop | Claim) -> None:
        """Carry a drop or a claim to an accepted or rejected set."""
        over = False
        try:
            claim = await self._claimed(item)
            over = claim is None or await self._carried(claim)
        finally:
            self.memory.left_over |= not over

    async def _claimed(self, item: Drop | Claim) -> Claim | None:
        if isinstance(item, Claim):
            return item
        async with self.claiming:
            return await self.inbox.claim(item)

    async def _carried(self, claim: Claim) -> bool:
        """Carry a claim; tells whether it has come to its end, False if it has to come again."""
        if claim.folder in self.busy:
            return True
        self.busy.add(claim.folder)
        self.later.pop(claim.folder, None)
        try:
            stored = await self.journal.read(set_rows.by_folder, claim.folder)
            if stored is None:
                return await self._receive(claim)
            return not isinstance(stored.value, Received) or await self._judge(stored.value, claim)
        finally:
            self.busy.discard(claim.folder)

    async def _receive(self, claim: Claim) -> bool:
        choice, problem = self._chosen(claim)
        report = UNREAD
        if claim.trouble is None and problem is None:
            report = await self.work.index(claim, _order(choice, self))
        async with self.naming:  # of two drops alike, the second meets the first's row
            received = await self._registered(claim, choice, report)
            await self.journal.receive(received)
        return await self._judge(received, claim)

    async def _registered(self, claim: Claim, choice: Choice, report: IndexReport) -> Received:
        what = report.content or ContentHash(claim.folder)  # what was not read is like no other
        print_ = choice.idempotency_key or ids.fingerprint(
            what, choice.model, choice.kind, choice.canonical
        )
        named = await self.journal.read(_name, self.install, claim, choice, report, print_)
        await self.work.name_run(claim, named.run, named.copy)
        info = SetInfo(
            id=named.id,
            name=claim.name,
            profile=claim.profile,
            project=choice.project,
            kind=choice.kind,
            model=choice.model,
            folder=claim.folder,
            outbox=named.outbox,
            fingerprint=Fingerprint(print_),
            content=report.content,
            content_bytes=report.content_bytes,
            requests=report.requests,
            flawed=report.flawed,
            tokens=report.tokens,
            priority=choice.priority,
            run=named.run,
            options=to_text(choice),
            answered_from=named.answered_from,
            received_at=self.clock.now(),
        )
        return Received(info)

    async def _judge(self, received: Received, claim: Claim) -> bool:
        verdict = await self._verdict(received.info, claim)
        if isinstance(verdict, NotYet):
            self.later[claim.folder] = verdict.not_before
            return False
        reason = verdict.flaw
        if reason is None:
            await self.journal.record(machine.index(received, verdict.unchecked or ""))
            return True
        try:
            await self.outbox.reject(received.info, reason, _told(received.info))
        except OutboxTaken:  # an earlier refusal of this name; the claim comes again, as another
            wanted = await self.journal.read(questions.next_outbox, received.info.outbox)
            await self.journal.record(machine.rehome(received, wanted))
            return False
        await self.journal.record(machine.reject(received, reason, self.clock.now()))
        return True

    async def _verdict(self, info: SetInfo, claim: Claim) -> Verdict:
        choice, problem = self._chosen(claim)
        if claim.trouble is not None or problem is not None:
            return Judged(flaw=claim.trouble or problem)
        report = await self.work.index(claim, _order(choice, self))
        flaw = flaw_of_the_whole(report, choice)
        if flaw is not None or info.answered_from is not None:
            return Judged(flaw=flaw)
        return await self.fits(info.model, info.kind)

    def _chosen(self, claim: Claim) -> tuple[Choice, str | None]:
        try:
            return self.choose(claim.profile, claim.options), None
        except BadOptions as error:
            return NO_CHOICE, str(error)


@dataclass(frozen=True, slots=True)
class _Named:
    id: SetId
    run: int
    copy: int
    outbox: str
    answered_from: SetId | None


def _name(
    tx: Tx, install: InstallId, claim: Claim, choice: Choice, report: IndexReport, print_: str
) -> _Named:
    first = set_rows.first_run(tx, Fingerprint(print_)) if report.content else None
    reused = first if _can_answer(first) and choice.duplicate_set == "reuse" else None
    run, copy = claim.run, claim.copy
    full_name = f"{claim.profile}/{claim.name}"
    own_run = reused is None and run >= 0
    if own_run and questions.is_run_of_another(tx, Fingerprint(print_), run, claim.folder):
        run = -1  # named before a crash, and taken since: nothing was sent under that name
    if run < 0:
        run = (
            set_rows.next_run(tx, Fingerprint(print_)) if reused is None else reused.value.info.run
        )
        copy = set_rows.next_copy(tx, claim.name, report.content, run)
    name = ids.set_id(install, full_name, report.content, run, copy)
    return _Named(
        name,
        run,
        copy,
        set_rows.free_outbox(tx, claim.name),
        reused.value.info.id if reused is not None and reused.value.info.id != name else None,
    )


def _can_answer(first: StoredSet | None) -> bool:
    """A run that is over and has no answer at all is no answer to the same drop."""
    if first is None:
        return False
    return not isinstance(first.value, Delivered) or first.value.totals.answered > 0


def _order(choice: Choice, intake: Intake) -> IndexOrder:
    return IndexOrder(
        kind=choice.kind,
        model=choice.model,
        defaults=choice.defaults,
        unique_keys=choice.duplicate_keys == "reject",
        line_bytes_max=intake.line_bytes_max,
        flaws_kept_max=intake.flaws_kept_max,
        shape=choice.shape,
    )


def flaw_of_the_whole(report: IndexReport, choice: Choice) -> str | None:
    """Tell why a drop cannot be accepted as a whole, None if it can."""
    if report.problem is not None:
        return report.problem
    if report.requests == 0:
        return "there is no request in it: the file is empty or has only blank lines"
    if report.duplicates and choice.duplicate_keys == "reject":
        return (
            f"{report.duplicates} keys occur more than once; make them unique, "
            'or set duplicate_keys = "allow"'
        )
    if report.flawed > choice.flaws_max_fraction * report.requests:
        return (
            f"{report.flawed} of {report.requests} lines are flawed, more than "
            f"flaws_max_fraction = {choice.flaws_max_fraction:g} allows; see flaws.jsonl"
        )
    return None


def _told(info: SetInfo) -> Mapping[str, object]:
    return {"name": info.name, "requests": info.requests, "flawed": info.flawed}
