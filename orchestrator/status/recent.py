"""The newest events in memory, and whoever follows them.

A follower keeps only its place (the id of the last event it saw), so a slow one costs nothing
and misses nothing: what is no longer here lies in the ledger.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from orchestrator.domain.ids import SetId
from orchestrator.status.views import BatchView, EventView

EVENTS_KEPT_MAX = 4096


class History(Protocol):
    """What has to be read from the ledger, because memory does not hold all of it.

    Each call is one short read; it may raise TimeoutError.
    """

    async def events(
        self, after: int, limit: int, request_set: SetId | None
    ) -> Sequence[EventView]:
        """Return the events that follow an id, oldest first."""

    async def batches(self, request_set: SetId) -> Sequence[BatchView]:
        """Return all batches of a set by serial number."""


class Recent:
    """The newest events, in order, without gaps."""

    def __init__(self) -> None:
        self._events: deque[EventView] = deque(maxlen=EVENTS_KEPT_MAX)
        self._start = 0
        self._bells: set[asyncio.Event] = set()
        self.last = 0
        self.closed = False

    def begin(self, last: int) -> None:
        """Start after the event `last`: what came before is in the ledger alone."""
        self._events.clear()
        self._start = self.last = last

    def publish(self, events: Iterable[EventView]) -> None:
        """Add events that were committed, and wake the followers."""
        for event in events:
            if len(self._events) == EVENTS_KEPT_MAX:
                self._start = self._events[0].id
            self._events.append(event)
            self.last = event.id
        self._ring()

    def close(self) -> None:
        """Tell the followers that nothing more will come."""
        self.closed = True
        self._ring()

    def _ring(self) -> None:
        for bell in self._bells:
            bell.set()

    @contextmanager
    def follow(self) -> Iterator[asyncio.Event]:
        """Give a bell that is set whenever there is news; it carries nothing."""
        bell = asyncio.Event()
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)

    def reaches(self, after: int) -> bool:
        """Tell whether everything that follows the event `after` is in memory."""
        return after >= self._start

    def since(self, after: int, limit: int, request_set: SetId | None) -> list[EventView]:
        """Return what follows the event `after`, at most `limit`, of one set or of all."""
        found: list[EventView] = []
        for event in reversed(self._events):
            if event.id <= after:
                break
            if request_set is None or event.set_id == request_set:
                found.append(event)
        return found[::-1][:limit]
