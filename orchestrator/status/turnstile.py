"""Readers one after the other, so that a thousand of them take no more of the loop than one.

Between two answers everything else that the daemon does gets its turn: at least as long as the
answer before took. A reader alone waits a millisecond; the thousandth in the queue about a second.
"""

import asyncio

REST_SECONDS_MIN = 0.001
REST_SECONDS_MAX = 0.050


class Turnstile:
    """Lets readers through in the order in which they came."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._rest = REST_SECONDS_MIN

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        async with self._lock:
            await asyncio.sleep(self._rest)

    def took(self, seconds: float) -> None:
        """Say how long the answer took, so that the others get as much."""
        self._rest = min(max(seconds, REST_SECONDS_MIN), REST_SECONDS_MAX)
