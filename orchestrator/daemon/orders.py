"""The operator's orders from the socket, handed to the stages' verbs."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from decimal import Decimal

import structlog

from orchestrator.domain.caps import micros_of
from orchestrator.domain.ids import IdempotencyKey, JobName, SetId
from orchestrator.ports import Trouble
from orchestrator.stages.control import Control, NotPossible
from orchestrator.status.control import Absence, Adoption, Impossible, Order, Resumption, Verb
from orchestrator.store.errors import LedgerDenied, LedgerFull, StaleTransition

log = structlog.get_logger()
PATIENCE = timedelta(seconds=10)
TRIES = 5


class Orders:
    """Implements the status room's `Control` over the stages' of the present shift.

    Between two shifts an order waits for the next; a shift that ends waits for the orders under
    way, whose calls go over its connections.
    """

    def __init__(self) -> None:
        self._control: Control | None = None
        self._taken = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._under_way = 0

    @asynccontextmanager
    async def given_to(self, control: Control) -> AsyncIterator[None]:
        """Let a shift's verbs carry out the orders, for as long as the context lasts."""
        self._control = control
        self._taken.set()
        try:
            yield
        finally:
            self._taken.clear()
            self._control = None
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE.total_seconds()):
                    await self._idle.wait()

    async def act(self, verb: Verb, target: SetId, order: Order) -> str:
        """Carry out an order and return in words what was done. Raises Impossible."""
        control = await self._present()
        try:
            with self._busy():
                return await _carry_out_as_it_is_now(control, verb, target, order)
        except NotPossible as error:
            raise Impossible(error.why, error.remedy) from error
        except (LedgerFull, LedgerDenied) as error:
            raise Impossible(f"it cannot be recorded: {error}", "give the order again") from error
        except Trouble as error:
            raise Impossible(f"the provider did not do it: {error}", "try again later") from error

    async def _present(self) -> Control:
        try:
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self._taken.wait()
        except TimeoutError:
            why = "the daemon is starting, stopping, or reading its settings again"
            raise Impossible(why, "try again in a moment") from None
        assert self._control is not None, "what was taken is there"
        return self._control

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._under_way += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()


async def _carry_out_as_it_is_now(control: Control, verb: Verb, target: SetId, order: Order) -> str:
    """Judge an order anew when the set has changed between the look at it and the deed."""
    for _ in range(TRIES):
        with suppress(StaleTransition):
            return await _carry_out(control, verb, target, order)
    raise Impossible(f"{target} changes just now", "try again in a moment")


async def _carry_out(control: Control, verb: Verb, target: SetId, order: Order) -> str:
    match verb:
        case Verb.CANCEL:
            return await control.cancel(target)
        case Verb.PAUSE:
            return await control.pause(target)
        case Verb.RESUME | Verb.RELEASE:
            assert isinstance(order, Resumption), "the socket demands it"
            cap = None if order.cap is None else micros_of(Decimal(order.cap))
            return await control.resume(target, cap)
        case Verb.RETRY:
            return await control.retry(target)
        case Verb.DELETE_REMOTE:
            return await control.delete_remote(target)
        case Verb.ABSENT:
            assert isinstance(order, Absence), "the socket demands it"
            return await control.absent(target, IdempotencyKey(order.token))
        case Verb.ADOPT:
            assert isinstance(order, Adoption), "the socket demands it"
            token, job = IdempotencyKey(order.token), JobName(order.job)
            return await control.adopt(target, token, job)
