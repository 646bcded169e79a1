"""The ledger for whoever can wait: what cannot be written now is written as soon as it can be.

A full disk and one that turned read-only pass. An intent that waits here has sent nothing, and the
answer to a create is kept in memory until it is recorded; a process that ends meanwhile leaves what
any crash leaves. Everything else stops us.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Concatenate, ParamSpec, TypeVar

from orchestrator.daemon.weather import Weather
from orchestrator.ports import Clock
from orchestrator.store.database import Ledger, Tx
from orchestrator.store.errors import LedgerDenied, LedgerFull

P = ParamSpec("P")
T = TypeVar("T")
AGAIN = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Enduring:
    """`store.database.Ledger` over another one, with patience for what passes."""

    ledger: Ledger
    weather: Weather
    clock: Clock

    async def transact(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` as one transaction, as often as it takes until it is recorded."""
        answer = await self._outlast(lambda: self.ledger.transact(work, *args, **kwargs))
        self.weather.recorded()
        return answer

    async def read(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work`, which changes nothing, on one consistent state."""
        return await self._outlast(lambda: self.ledger.read(work, *args, **kwargs))

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk; that is not waited for."""
        await self.ledger.vacuum()

    async def _outlast(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except (LedgerFull, LedgerDenied) as error:
                if not self.weather.passes(error):
                    raise
            await self.clock.sleep(AGAIN)
