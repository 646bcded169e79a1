"""Calls to the workers: awaited one by one, or a few at a time over many."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Calls:
    """The workers, as the room's asynchronous halves use them."""

    workers: Executor
    parallel: int  # how many calls of one kind of work are under way at once

    async def one(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do one call in a worker."""
        return await self._begin(partial(fn, *args, **kwargs))

    async def several(
        self, calls: Sequence[Callable[[], T]], told: Callable[[int], None] = lambda _done: None
    ) -> list[T]:
        """Do many calls, a few at a time; returns in their order.

        One more than that waits with the workers, so that none of them waits for the next.
        `told` hears how many are done. The first error ends it, as it is, and begins no more.
        """
        found: list[T] = []
        waiting: deque[asyncio.Future[T]] = deque()
        try:
            for call in calls:
                if len(waiting) > self.parallel:
                    found.append(await waiting.popleft())
                    told(len(found))
                waiting.append(self._begin(call))
            while waiting:
                found.append(await waiting.popleft())
                told(len(found))
        finally:
            for call_under_way in waiting:
                call_under_way.cancel()
        return found

    async def beside(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do one call in a thread of this process, which lets go of the interpreter meanwhile.

        For what keeps its state here from call to call.
        """
        return await asyncio.get_running_loop().run_in_executor(None, partial(fn, *args, **kwargs))

    def _begin(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self.workers, call)
