"""Holds by a cap end when the cap holds no longer: with their day, or when the settings changed.

A day's hold is judged anew at the next midnight (UTC). Each life begins by judging every hold by
a cap anew: settings are read again by beginning one, so a cap that was raised and a price that was
added count.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeAlias

import structlog

from orchestrator.daemon import money_caps
from orchestrator.daemon.money import Purse
from orchestrator.domain import caps
from orchestrator.domain.caps import HeldBy, Hold
from orchestrator.domain.request_sets import Flags
from orchestrator.ports import Clock
from orchestrator.store import questions, request_sets
from orchestrator.store.database import Tx
from orchestrator.store.errors import StaleTransition
from orchestrator.store.journal import Journal
from orchestrator.store.request_sets import StoredSet

log = structlog.get_logger()
LOOK = timedelta(minutes=10)  # a clock that was set, or a machine that slept, costs so much
Verdict: TypeAlias = Callable[[Tx, datetime, StoredSet], Hold | None]
Change: TypeAlias = tuple[StoredSet, Flags]


@dataclass(frozen=True, slots=True)
class MoneyHolds:
    """Lets sets go on that a cap held and holds no longer."""

    journal: Journal
    clock: Clock
    purse: Purse

    async def run(self) -> None:
        """Judge all once, then those by the cap of a day at the end of each."""
        await self._judge(self._anew)
        while True:
            now = self.clock.now()
            await self.clock.sleep(min(caps.next_day(now) - now, LOOK))
            await self._judge(partial(self._at_the_end_of_its_day, since=now))

    def _at_the_end_of_its_day(
        self, tx: Tx, now: datetime, stored: StoredSet, *, since: datetime
    ) -> Hold | None:
        """Leave a hold as it is while its day lasts, and what no day ends to the operator."""
        flags = stored.flags
        assert flags.held is not None, "only what is held is judged"
        ends = flags.held_until
        if ends is None and caps.held_by(flags) is HeldBy.DAY:  # no day had room: does this one?
            ends = caps.next_day(since)
        if ends is None or now < ends:
            return Hold(flags.held, flags.held_until)
        return self._anew(tx, now, stored)

    def _anew(self, tx: Tx, now: datetime, stored: StoredSet) -> Hold | None:
        part = questions.first_unsent(tx, stored.value.info.id)
        return None if part is None else money_caps.obstacle(tx, now, self.purse, part)

    async def _judge(self, verdict: Verdict) -> None:
        now = self.clock.now()
        for stored, after in await self.journal.read(_changes, now, verdict):
            name = stored.value.info.id
            why = "the cap holds it no longer" if after.held is None else f"held: {after.held}"
            try:
                await self.journal.write(request_sets.flag, now, name, stored.flags, after, why)
            except StaleTransition:
                continue  # the operator was quicker
            if after.held is None:
                log.info("set.released", set=name, why=stored.flags.held)


def _changes(tx: Tx, now: datetime, verdict: Verdict) -> list[Change]:
    """Return what has to change of the holds by caps; another cap's hold is told as a new one."""
    changes: list[Change] = []
    for stored in request_sets.open_sets(tx):
        if caps.held_by(stored.flags) is None:
            continue
        hold = verdict(tx, now, stored)
        free = replace(stored.flags, held=None, held_until=None)
        after = free if hold is None else replace(free, held=hold.why, held_until=hold.until)
        if caps.held_by(after) is not caps.held_by(stored.flags):
            after = free
        if after != stored.flags:
            changes.append((stored, after))
    return changes
