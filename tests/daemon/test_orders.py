"""Orders from the socket while the stages change over from one shift to the next."""

import asyncio
from typing import Any

import pytest

from orchestrator.daemon.orders import TRIES, Orders
from orchestrator.domain.ids import SetId
from orchestrator.status.control import Impossible, Order, Verb
from orchestrator.store.errors import StaleTransition

SET = SetId("aaaaaaaaaa")


class Verbs:
    """A shift's verbs: `pause` takes as long as it is let."""

    def __init__(self, name):
        self.name = name
        self.begun, self.let = asyncio.Event(), asyncio.Event()

    async def pause(self, _target):
        """Pause, once it is let."""
        self.begun.set()
        await self.let.wait()
        return f"paused by {self.name}"


async def test_between_two_shifts_an_order_waits_for_the_next():
    """An order is neither lost nor refused because the settings are read again just now."""
    orders = Orders()
    verbs: Any = Verbs("the second")
    verbs.let.set()

    async with asyncio.TaskGroup() as group:
        told = group.create_task(orders.act(Verb.PAUSE, SET, Order()))
        await asyncio.sleep(0)
        waited = not told.done()
        async with orders.given_to(verbs):
            said = await told

    assert waited
    assert said == "paused by the second"


async def test_a_shift_ends_after_the_orders_under_way():
    """What an order asks the service goes over the shift's connections, so they stay for it."""
    orders, ended = Orders(), asyncio.Event()
    verbs: Any = Verbs("the first")

    async def shift():
        async with orders.given_to(verbs):
            await verbs.begun.wait()
        ended.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(shift())
        told = group.create_task(orders.act(Verb.PAUSE, SET, Order()))
        await verbs.begun.wait()
        for _ in range(3):
            await asyncio.sleep(0)
        early = ended.is_set()
        verbs.let.set()

    assert not early
    assert ended.is_set()
    assert told.result() == "paused by the first"


class Overtaken:
    """A shift's verbs whose set is changed by somebody else so many times meanwhile."""

    def __init__(self, times):
        self.times = times

    async def pause(self, _target):
        """Pause, unless the set was changed since it was read."""
        self.times -= 1
        if self.times >= 0:
            raise StaleTransition("the flags are no longer what they were")
        return "paused"


async def test_an_order_that_is_overtaken_is_judged_anew():
    """A hold, or another order, between the look at a set and the deed is no error."""
    orders = Orders()
    verbs: Any = Overtaken(TRIES - 1)

    async with orders.given_to(verbs):
        said = await orders.act(Verb.PAUSE, SET, Order())

    assert said == "paused"


async def test_an_order_that_is_overtaken_again_and_again_says_what_to_do():
    """It is an answer with a remedy, not an error of the daemon's."""
    orders = Orders()
    verbs: Any = Overtaken(TRIES)

    async with orders.given_to(verbs):
        with pytest.raises(Impossible, match="try again"):
            await orders.act(Verb.PAUSE, SET, Order())
