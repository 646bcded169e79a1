"""Time and chance of a simulated world, as the daemon is handed them."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

EPOCH = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


class SimClock:
    """Wall and steady clock over the loop's virtual time; both go on while a process is dead.

    `skew` moves the wall clock alone, as an operator or NTP may at any moment.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, epoch: datetime = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch
        self.skew = timedelta(0)

    def now(self) -> datetime:
        return self._epoch + timedelta(seconds=self._loop.time()) + self.skew

    def elapsed(self) -> float:
        return self._loop.time()

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(max(duration.total_seconds(), 0))


class SimIds:
    """Chance from a seed."""

    def __init__(self, seed: object) -> None:
        self._random = random.Random(f"ids {seed}")

    def jitter(self) -> float:
        return self._random.random()
