"""The real clocks and the real chance; nobody else reads them."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

from orchestrator.service.host import boottime


class WallClock:
    """Wall time to show, CLOCK_BOOTTIME to wait by: it goes on while the machine sleeps."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Return seconds since the boot, suspend included."""
        return boottime()

    async def sleep(self, duration: timedelta) -> None:
        """Wait."""
        await asyncio.sleep(duration.total_seconds())


class Chance:
    """Chance for jitter; nothing that matters depends on it."""

    def jitter(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries, protects nothing
