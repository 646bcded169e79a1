"""From the ledger to the board: what was committed is shown, counted and told to followers.

The feed reads the events since its last look, then the sets and batches that they name. So the
picture costs what has changed, never what there is, and a look that is missed is made up for by
the next. Trouble: a ledger that cannot be read ends the daemon, here as everywhere.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from orchestrator.domain.batches import Batch, Collected, Ended, Lapsed
from orchestrator.domain.ids import IdempotencyKey, ProjectName, SetId
from orchestrator.domain.moments import midnight
from orchestrator.ports import Clock
from orchestrator.status.board import Board, Money
from orchestrator.status.figures import in_dollars
from orchestrator.status.metrics import Metrics
from orchestrator.status.recent import Recent
from orchestrator.status.sets_shown import finished_at
from orchestrator.status.views import BatchView, EventView, IncidentView
from orchestrator.store import batches, events, incidents, jobs, projects, request_sets
from orchestrator.store.database import Ledger, Tx
from orchestrator.store.events import Event
from orchestrator.store.incidents import Incident
from orchestrator.store.projects import Block
from orchestrator.store.request_sets import StoredSet

PAUSE = timedelta(milliseconds=500)
LOOK_SECONDS_MAX = 5.0
SWEEP = timedelta(minutes=10)
EVENTS_MAX = 500
SETS_MAX = 100
INCIDENTS_SHOWN_MAX = 20
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Changed:
    """A set that something happened to, with the batches that are to be shown anew."""

    stored: StoredSet
    batches: Sequence[Batch]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look into the ledger found."""

    events: Sequence[Event]
    changed: Sequence[Changed]
    blocks: dict[ProjectName, Block]
    spent_today: int
    spent: int
    incidents: Sequence[Incident]
    strays: int


class Feed:
    """Keeps the board true to the ledger."""

    def __init__(
        self, ledger: Ledger, board: Board, recent: Recent, metrics: Metrics, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._recent = recent
        self._metrics = metrics
        self._clock = clock

    async def run(self, bell: asyncio.Event) -> None:
        """Look whenever the bell rings, at most twice a second and at least every five seconds."""
        await self.load()
        swept = self._clock.elapsed()
        while True:
            bell.clear()
            await self.refresh()
            if self._clock.elapsed() - swept > SWEEP.total_seconds():
                await self.sweep()
                swept = self._clock.elapsed()
            await self._clock.sleep(PAUSE)
            await _rings(bell)

    async def load(self) -> None:
        """Show everything that the ledger knows; nothing of it is counted again."""
        self._recent.begin(await self._ledger.read(events.last_id))
        after: str | None = None
        while page := await self._ledger.read(_page, after):
            for changed in page:
                self._board.put(changed.stored.value, changed.stored.flags, changed.batches)
            after = page[-1].stored.value.info.id
        await self.refresh()

    async def refresh(self) -> None:
        """Show what has happened since the last look."""
        more = True
        while more:
            now = self._clock.now()
            look = await self._ledger.read(_look, self._recent.last, now, self._board.holds)
            self._show(look)
            more = len(look.events) == EVENTS_MAX

    async def sweep(self) -> None:
        """Show no longer what the ledger has forgotten."""
        known: set[SetId] = set()
        after: str | None = None
        while page := await self._ledger.read(_ids, after):
            known.update(page)
            after = page[-1]
        for of in tuple(self._board.folds):
            if of.value.info.id not in known:
                self._board.forget(of.value.info.id)

    def _show(self, look: Look) -> None:
        board = self._board
        board.money = Money(look.spent_today, look.spent)
        board.incidents = Counter(incident.kind for incident in look.incidents)
        board.newest_incidents = [
            incident_view(each) for each in reversed(look.incidents[-INCIDENTS_SHOWN_MAX:])
        ]
        board.strays = look.strays
        for name in board.projects:
            block = look.blocks.get(name)
            if block is None:
                board.unblock(name)
            else:
                board.block(name, block.why, block.remedy, block.since)
        for changed in look.changed:
            self._put(changed)
        self._count(look)
        self._recent.publish(event_view(event) for event in look.events)

    def _put(self, changed: Changed) -> None:
        value = changed.stored.value
        before = self._board.get(value.info.id)
        self._board.put(value, changed.stored.flags, changed.batches)
        after = self._board.get(value.info.id)
        first = after.first_submitted if after else None
        if first is not None and (before is None or before.first_submitted is None):
            self._metrics.submitted_first((first - value.info.received_at).total_seconds())

    def _count(self, look: Look) -> None:
        sets = {changed.stored.value.info.id: changed.stored.value for changed in look.changed}
        moved = {batch.part.token: batch for change in look.changed for batch in change.batches}
        for event in look.events:
            if event.token is None:
                self._metrics.moved("set", event.source, event.target)
                value = sets.get(event.set_id)
                finished = finished_at(value) if value else None
                if value and finished and event.target == "delivered" != event.source:
                    wait = finished - value.info.received_at
                    self._metrics.delivered(wait.total_seconds())
            else:
                self._metrics.moved("batch", event.source, event.target)
                self._count_batch(moved.get(event.token), event.target)

    def _count_batch(self, batch: Batch | None, target: str) -> None:
        if target == "ended" and isinstance(batch, Ended | Collected):
            took = batch.ended_at - batch.submitted_at
            self._metrics.ended(batch.outcome.value, took.total_seconds())
        elif target == "collected" and isinstance(batch, Collected):
            cost = self._board.cost(batch.part.model, batch.usage)
            took = batch.collected_at - batch.ended_at
            self._metrics.collected(batch.tally, batch.usage, cost, took.total_seconds())
        elif target == "lapsed" and isinstance(batch, Lapsed):
            self._metrics.lapsed(batch.reason.value, batch.part.count)


class LedgerHistory:
    """What memory does not hold, read from the ledger."""

    def __init__(self, ledger: Ledger, board: Board, clock: Clock) -> None:
        self._ledger = ledger
        self._board = board
        self._clock = clock

    async def events(
        self, after: int, limit: int, request_set: SetId | None
    ) -> Sequence[EventView]:
        """Return the events that follow an id, oldest first."""
        found = await self._ledger.read(events.after, after, limit, request_set)
        return [event_view(event) for event in found]

    async def batches(self, request_set: SetId) -> Sequence[BatchView]:
        """Return all batches of a set by serial number."""
        found = await self._ledger.read(batches.of_set, request_set)
        now = self._clock.now()
        return [self._board.show_batch(batch, now) for batch in found]


def event_view(event: Event) -> EventView:
    """Show an event."""
    return EventView(
        id=event.id,
        at=event.at,
        set_id=event.set_id,
        token=event.token,
        source=event.source or None,
        target=event.target,
        why=event.why,
    )


def incident_view(incident: Incident) -> IncidentView:
    """Show an incident."""
    return IncidentView(
        at=incident.at,
        kind=incident.kind,
        token=incident.token,
        detail=incident.detail,
        requests=incident.requests,
        cost=in_dollars(incident.cost_micros),
    )


async def _rings(bell: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(LOOK_SECONDS_MAX):
            await bell.wait()
    except TimeoutError:
        return


def _look(tx: Tx, after: int, now: datetime, holds: Callable[[SetId], bool]) -> Look:
    found = events.after(tx, after, EVENTS_MAX)
    tokens: dict[SetId, set[IdempotencyKey]] = {}
    for event in found:
        named = tokens.setdefault(event.set_id, set())
        if event.token is not None:
            named.add(event.token)
    return Look(
        events=found,
        changed=[
            Changed(stored, _batches(tx, set_id, named if holds(set_id) else None))
            for set_id, named in tokens.items()
            if (stored := request_sets.get(tx, set_id)) is not None
        ],
        blocks=projects.all_blocks(tx),
        spent_today=projects.spend(tx, midnight(now)),
        spent=projects.spend(tx, BEGINNING),
        incidents=incidents.all(tx),
        strays=len(jobs.by_role(tx, "stray")),
    )


def _batches(tx: Tx, set_id: SetId, named: set[IdempotencyKey] | None) -> list[Batch]:
    if named is None:
        return batches.of_set(tx, set_id)
    return [batch for token in named if (batch := batches.get(tx, token)) is not None]


def _page(tx: Tx, after: str | None) -> list[Changed]:
    page = request_sets.page(tx, state=None, after=after, limit=SETS_MAX)
    return [Changed(stored, batches.of_set(tx, stored.value.info.id)) for stored in page]


def _ids(tx: Tx, after: str | None) -> list[SetId]:
    page = request_sets.page(tx, state=None, after=after, limit=SETS_MAX)
    return [stored.value.info.id for stored in page]
