import asyncio
from itertools import pairwise

from orchestrator.status.turnstile import REST_SECONDS_MAX, Turnstile


async def test_between_two_readers_everybody_else_has_a_turn():
    """However many readers wait, the rest of the daemon runs between each two of them."""
    turnstile = Turnstile()
    order: list[str] = []

    async def read(number):
        await turnstile.turn()
        order.append(f"reader {number}")

    async def work():
        while True:
            order.append("work")
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        working = group.create_task(work())
        async with asyncio.TaskGroup() as readers:
            for number in range(50):
                readers.create_task(read(number))
        working.cancel()

    reads = [index for index, who in enumerate(order) if who != "work"]
    assert [order[index] for index in reads] == [f"reader {number}" for number in range(50)]
    assert all("work" in order[a:b] for a, b in pairwise(reads))


async def test_a_slow_answer_does_not_hold_up_the_next_for_ever():
    """The rest after an answer is as long as it took, and bounded."""
    turnstile = Turnstile()
    turnstile.took(1000)
    loop = asyncio.get_running_loop()

    async with asyncio.timeout(10):
        began = loop.time()
        await turnstile.turn()

    assert loop.time() - began >= REST_SECONDS_MAX * 0.9


async def test_a_reader_that_gives_up_lets_the_next_one_through():
    """A waiting reader that hangs up does not block the queue."""
    turnstile = Turnstile()
    gone = asyncio.ensure_future(turnstile.turn())
    await asyncio.sleep(0)
    gone.cancel()

    async with asyncio.timeout(10):
        await turnstile.turn()

    assert gone.cancelled()
