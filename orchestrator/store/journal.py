"""The ledger with its listeners: journal first, then tell.

What listens hears of a move only after its commit: the log writes its one line, bells wake the
stages that may have work. A listener that is missed costs time or a line, never a fact.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeAlias, TypeVar

from orchestrator.domain.batches import BatchEdge, Planned, Submitting
from orchestrator.domain.moments import written
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Received,
    Rejected,
    SetEdge,
    index,
)
from orchestrator.ports import Clock
from orchestrator.store import batches, lives, notices, request_sets
from orchestrator.store.database import Ledger, Tx
from orchestrator.store.transitions import apply

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one transaction changed."""

    at: datetime
    moves: tuple[BatchEdge | SetEdge, ...] = ()
    planned: tuple[Planned, ...] = ()
    received: tuple[Received, ...] = ()
    flagged: bool = False  # something else was written: flags, sightings, incidents


ANNOUNCED = {"delivered": "delivered", "rejected": "failed", "cancelled": "cancelled"}

Over: TypeAlias = Delivered | Rejected | Cancelled
Listener: TypeAlias = Callable[[Recorded], None]
Also: TypeAlias = Callable[[Tx], None]


@dataclass(frozen=True, slots=True)
class Journal:
    """Records moves for one life of the daemon, the one numbered `epoch`."""

    ledger: Ledger
    clock: Clock
    epoch: int
    listeners: list[Listener] = field(default_factory=list)

    async def read(
        self, query: Callable[Concatenate[Tx, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Run a query in a transaction of its own."""
        return await self.ledger.read(query, *args, **kw)

    async def record(self, *moves: BatchEdge | SetEdge, also: Also | None = None) -> None:
        """Commit the moves, with whatever else belongs to them, in one transaction.

        Raises StaleTransition when a move's `before` is no longer true: then nothing happened.
        """
        now = self.clock.now()
        await self.ledger.transact(_record, now, self.epoch, moves, also)
        self._tell(Recorded(now, moves))

    async def plan(
        self, planned: Sequence[Planned], *moves: SetEdge, also: Also | None = None
    ) -> None:
        """Commit new batches together with the moves of their set and what must be true for it."""
        now = self.clock.now()

        def insert(tx: Tx) -> None:
            if also is not None:
                also(tx)
            batches.insert(tx, now, *planned)

        await self.ledger.transact(_record, now, self.epoch, moves, insert)
        self._tell(Recorded(now, moves, tuple(planned)))

    async def receive(self, received: Received) -> None:
        """Commit a new set."""
        now = self.clock.now()
        await self.ledger.transact(request_sets.insert, now, received)
        self._tell(Recorded(now, received=(received,)))

    async def accept(self, received: Sequence[Received]) -> None:
        """Commit new sets that need no judgement, as accepted, in one transaction."""
        now, moves = self.clock.now(), tuple(index(one) for one in received)

        def accept(tx: Tx) -> None:
            request_sets.insert(tx, now, *received)
            apply(tx, now, *moves)

        await self.ledger.transact(accept)
        self._tell(Recorded(now, moves, received=tuple(received)))

    async def write(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kw: P.kwargs
    ) -> T:
        """Commit what is no move: flags, incidents, sightings."""
        result = await self.ledger.transact(work, *args, **kw)
        self._tell(Recorded(self.clock.now(), flagged=True))
        return result

    def _tell(self, recorded: Recorded) -> None:
        for listener in self.listeners:
            listener(recorded)


def _record(
    tx: Tx, now: datetime, epoch: int, moves: Sequence[BatchEdge | SetEdge], also: Also | None
) -> None:
    if any(isinstance(move.after, Submitting) for move in moves):
        lives.check_epoch(tx, epoch)
    apply(tx, now, *moves)
    for move in moves:
        if isinstance(move.after, Over) and move.after.state != move.before.state:
            announce(tx, now, move.after)
    if also is not None:
        also(tx)


def announce(tx: Tx, now: datetime, ended: Over) -> None:
    """Journal the notice of a set that is over, in the transaction that ends it."""
    body: dict[str, object] = {
        "event": ANNOUNCED[ended.state],
        "at": written(now),
        "set": ended.info.id,
        "name": ended.info.name,
    }
    if isinstance(ended, Rejected):
        body |= {"why": ended.reason}
    else:
        body |= {"answered": ended.totals.answered, "failed": ended.totals.failed}
        body |= {"outbox": ended.info.outbox}
    notices.enqueue(tx, now, ANNOUNCED[ended.state], ended.info.id, json.dumps(body))
