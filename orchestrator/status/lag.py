"""How late the event loop is: whatever blocks it shows here first."""

import asyncio
from collections.abc import Callable

PERIOD_SECONDS = 0.5


async def watch_lag(told: Callable[[float], None], period: float = PERIOD_SECONDS) -> None:
    """Tell, again and again, by how many seconds a sleep of `period` was too long."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + period
        await asyncio.sleep(period)
        told(max(0.0, loop.time() - due))
