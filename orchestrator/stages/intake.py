"""inbox → set: claim a drop, read it once, accept or reject it as a whole.

Trouble: a drop that cannot be used is rejected with its reason and the others go on; a full
or failing disk stops us.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from orchestrator.domain import request_sets as machine
from orchestrator.domain.batches import Kind
from orchestrator.domain.fitting import Judged, NotYet, Verdict
from orchestrator.domain.ids import ContentHash, InstallId
from orchestrator.domain.options import BadOptions, Choice
from orchestrator.domain.request_sets import Received, SetInfo
from orchestrator.domain.verdict import NO_CHOICE, flaw_of_the_whole
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
from orchestrator.store.journal import Journal
from orchestrator.store.naming import Unnamed, info_of, name, name_all

UNREAD = IndexReport(0, 0, 0, 0, ContentHash(""), 0, 0, 0, None)
ROUND_MIN, ROUND_MAX = 8, 100  # small drops that are carried together: more would hold the loop
LOOK_SECONDS = 30.0  # for claims that nobody has a reason to look for


@dataclass(slots=True)
class Memory:
    """What this life knows of claims and drops; at first: nothing."""

    left_over: bool = True
    next_look: float = 0.0
    taking: set[bytes] = field(default_factory=set)  # drops that are claimed just now


@dataclass(frozen=True, slots=True)
class Round:
    """Small drops that are carried together: what each of them costs is shared by all."""

    drops: tuple[Drop, ...]


Item: TypeAlias = Drop | Round | Claim


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

    async def find(self) -> Sequence[Item]:
        """Return claims that were not carried to their end, then complete drops."""
        claims = await self._left_over()
        if self.room() is not None:
            return claims
        drops = [one for one in await self.inbox.scan() if one.raw not in self.memory.taking]
        return [*claims, *_in_rounds(drops)]

    async def _left_over(self) -> Sequence[Claim]:
        """Return claims of an earlier life, and of this one if something kept them from their end.

        What is being carried now is nobody else's. Without a reason they are looked for seldom.
        """
        memory, now = self.memory, self.clock.elapsed()
        if not memory.left_over and now < memory.next_look:
            return []
        memory.left_over, memory.next_look = False, now + LOOK_SECONDS
        settled = await self.journal.read(questions.settled_folders)
        try:
            async with self.claiming:  # a claim that is being made is nobody else's
                lying = await self.inbox.claims(settled)
        except OSError:
            memory.left_over = True
            raise
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

    def name(self, item: Item) -> str:
        """Return what tells one item from another while it is worked on."""
        match item:
            case Claim():
                return item.folder
            case Drop():
                return f"{item.profile}/{item.name}"
            case Round():
                return f"{item.drops[0].profile}/{item.drops[0].name}"

    async def do(self, item: Item) -> None:
        """Carry a drop or a claim to an accepted or rejected set."""
        over = False
        try:
            if isinstance(item, Round):
                over = await self._carried_together(item.drops)
            else:
                claim = await self._claimed(item)
                over = claim is None or await self._carried(claim)
        finally:
            self.memory.left_over |= not over

    async def _claimed(self, item: Drop | Claim) -> Claim | None:
        if isinstance(item, Claim):
            return item
        async with self.claiming:
            return await self.inbox.claim(item)

    async def _carried_together(self, drops: Sequence[Drop]) -> bool:
        """Carry small drops; tells whether all have come to their end."""
        taking = {drop.raw for drop in drops}
        self.memory.taking.update(taking)
        try:
            async with self.claiming:
                claims = await self.inbox.claim_together(drops)
                folders = {claim.folder for claim in claims}
                self.busy.update(folders)
        finally:
            self.memory.taking.difference_update(taking)
        try:
            alone = await self._accept(claims)
        finally:
            self.busy.difference_update(folders)
        over = [await self._carried(claim) for claim in alone]
        return all(over) and len(claims) == len(drops)

    async def _accept(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """Accept what there is nothing to be said about; returns those to be carried alone."""
        usable = [
            (claim, choice)
            for claim in claims
            for choice, problem in [self._chosen(claim)]
            if claim.trouble is None and problem is None
        ]
        orders = [(claim, _order(choice, self)) for claim, choice in usable]
        reports = await self.work.index_together(orders)
        drops = [
            Unnamed(claim, choice, report)
            for (claim, choice), report in zip(usable, reports, strict=True)
            if report is not None and flaw_of_the_whole(report, choice) is None
        ]
        models = {(drop.choice.model, drop.choice.kind) for drop in drops}
        fits = {one: await self.fits(*one) == Judged() for one in models}
        drops = [drop for drop in drops if fits[drop.choice.model, drop.choice.kind]]
        async with self.naming:
            names = await self.journal.read(name_all, self.install, *drops)
            named = [(drop, one) for drop, one in zip(drops, names, strict=True) if one is not None]
            await self.work.name_runs([(drop.claim, one.run, one.copy) for drop, one in named])
            now = self.clock.now()
            accepted = [Received(info_of(drop, one, now)) for drop, one in named]
            if accepted:
                await self.journal.accept(accepted)
        over = {drop.claim.folder for drop, _ in named}
        return [claim for claim in claims if claim.folder not in over]

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
        drop = Unnamed(claim, choice, report)
        named = await self.journal.read(name, self.install, drop)
        await self.work.name_run(claim, named.run, named.copy)
        return Received(info_of(drop, named, self.clock.now()))

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


def _in_rounds(drops: Sequence[Drop]) -> Sequence[Drop | Round]:
    """Put small drops together, if there are many; they come first, for they take no time."""
    small = [drop for drop in drops if drop.small]
    if len(small) < ROUND_MIN:
        return drops
    rounds = [Round(tuple(small[at : at + ROUND_MAX])) for at in range(0, len(small), ROUND_MAX)]
    return [*rounds, *(drop for drop in drops if not drop.small)]


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


def _told(info: SetInfo) -> Mapping[str, object]:
    return {"name": info.name, "requests": info.requests, "flawed": info.flawed}
