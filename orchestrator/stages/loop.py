"""The one loop that drives a stage, and the bell that wakes it early.

The database is the queue: a bell carries nothing, and losing one costs time only. Items of a stage
run side by side up to a bound, never the same one twice at once, and one that has just been
worked on rests for a moment, so that nothing spins. Nor does looking: rung for at every change, a
look at very much would leave no time for the work, so the longer it took the later is the next.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, Protocol, TypeVar

from orchestrator.ports import Clock
from orchestrator.store.errors import StaleTransition

T = TypeVar("T")
REST_SECONDS = 0.5
REST_SECONDS_MAX = 600.0
WEATHER_SECONDS_MAX = 10.0  # what the system refuses is soon over, and cheap to try
LOOKS_SHARE = 0.1  # of the time, at most
LOOKS_REST_MAX = 5.0  # seconds: what took so long once may have been anything
DOUBLINGS_MAX = 8  # beyond it the longest rest is reached, and a power would overflow


class Stage(Protocol[T]):
    """Reads what is due, and carries one item a step further."""

    async def find(self) -> Sequence[T]: ...
    def name(self, item: T) -> str: ...
    async def do(self, item: T) -> None: ...


class Bell:
    """Wakes a stage early."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or let the next wait pass at once."""
        self._rung.set()

    async def wait(self, clock: Clock, most: float) -> None:
        """Wait for a ring, at most so many seconds."""
        try:
            async with asyncio.timeout(most):
                await self._rung.wait()
        except TimeoutError:
            pass
        self._rung.clear()


Recovered = Callable[[str, str], None]
Crashed = Callable[[str, str, object, Exception, int], Awaitable[None]]


@dataclass(slots=True)
class Loop(Generic[T]):
    """Drives one stage.

    `idle` tells for how many seconds it may sleep, `looks` which share of the time may go into
    looking for work. `crashed` is told of an unexpected exception
    (stage, item's name, item, error, how often in a row) and may raise to end the daemon.
    `draining` stops new items when it is set.
    """

    title: str
    stage: Stage[T]
    clock: Clock
    bell: Bell
    idle: Callable[[], float]
    at_most: int
    crashed: Crashed
    recovered: Recovered = lambda _stage, _name: None
    looks: float = LOOKS_SHARE
    found: int = 0
    running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    rested_at: dict[str, float] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)
    draining: bool = False

    async def run(self) -> None:
        """Drive the stage until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                began = self.clock.elapsed()
                resting = await self._start(group)
                ended = self.clock.elapsed()
                idle = REST_SECONDS_MAX if self._is_full else self.idle()
                await self.bell.wait(self.clock, max(min(idle, resting), 0.0))
                rest = min((ended - began) * (1 / self.looks - 1), LOOKS_REST_MAX)
                if (left := ended + rest - self.clock.elapsed()) > 0:
                    await self.clock.sleep(timedelta(seconds=left))

    async def drain(self, most: timedelta) -> None:
        """Start nothing new and wait, at most so long, for what is under way."""
        self.draining = True
        if self.running:
            await asyncio.wait(self.running.values(), timeout=most.total_seconds())

    @property
    def _is_full(self) -> bool:
        """While it is, only a ring can bring work; the next item to end gives it."""
        return len(self.running) >= self.at_most

    async def _start(self, group: asyncio.TaskGroup) -> float:
        """Start what is due and return for how many seconds the first of the others rests."""
        soonest = REST_SECONDS_MAX
        now = self.clock.elapsed()
        self.rested_at = {name: at for name, at in self.rested_at.items() if at > now}
        if self._is_full:  # whatever is found could not begin; the next item to end rings
            return soonest
        for item in await self._due():
            name = self.stage.name(item)
            if self.draining or len(self.running) >= self.at_most:
                break
            if name in self.running:
                continue
            if name in self.rested_at:
                soonest = min(soonest, self.rested_at[name] - now + 0.001)
                continue
            self.running[name] = group.create_task(self._guard(name, item))
        return soonest

    async def _due(self) -> Sequence[T]:
        try:
            found = await self.stage.find()
        except Exception as error:  # noqa: BLE001 - `crashed` decides, and may raise
            await self._report("find", None, error)
            return []
        self._well("find")
        self._let_go({self.stage.name(item) for item in found} | self.running.keys())
        self.found = len(found)
        return found

    async def _guard(self, name: str, item: T) -> None:
        rest = REST_SECONDS
        try:
            await self.stage.do(item)
            self._well(name)
        except StaleTransition:
            pass  # what was decided upon has changed: it is read again
        except Exception as error:  # noqa: BLE001 - `crashed` decides, and may raise
            await self._report(name, item, error)
            most = WEATHER_SECONDS_MAX if isinstance(error, OSError) else REST_SECONDS_MAX
            rest = min(REST_SECONDS * 4 ** min(self.crashes[name], DOUBLINGS_MAX), most)
        finally:
            self.rested_at[name] = self.clock.elapsed() + rest
            ring = self._is_full or name in self.crashes  # what failed is due before the loop wakes
            self.running.pop(name, None)
            if ring:
                self.bell.ring()

    def _let_go(self, present: AbstractSet[str]) -> None:
        """Tell no longer of what has failed and is not to be done any more."""
        for name in self.crashes.keys() - present:
            self._well(name)

    def _well(self, name: str) -> None:
        if self.crashes.pop(name, None) is not None:
            self.recovered(self.title, name)

    async def _report(self, name: str, item: object, error: Exception) -> None:
        self.crashes[name] = self.crashes.get(name, 0) + 1
        await self.crashed(self.title, name, item, error, self.crashes[name])
