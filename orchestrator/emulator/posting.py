"""Sends what webhooks have to be told, while the emulator is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout

from orchestrator.emulator.deliveries import Delivery
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.signing import rsa_key

LOOK_EVERY_SECONDS = 0.2
ANSWER_SECONDS = 10.0
AT_ONCE = 32


@asynccontextmanager
async def posting(emulator: Emulator) -> AsyncIterator[None]:
    """Tell webhooks what happens for as long as a block runs."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_post_forever(emulator))
        try:
            yield
        finally:
            task.cancel()


async def _post_forever(emulator: Emulator) -> None:
    """Look again and again for jobs that have ended and for deliveries that are due."""
    async with ClientSession(timeout=ClientTimeout(total=ANSWER_SECONDS)) as session:
        while True:
            if emulator.has_listeners():
                await emulator.settle()
                async with asyncio.TaskGroup() as group:
                    for delivery in emulator.deliveries.due()[:AT_ONCE]:
                        group.create_task(_post(emulator, session, delivery))
            await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _post(emulator: Emulator, session: ClientSession, delivery: Delivery) -> None:
    body = msgspec.json.encode(delivery.event)
    if delivery.webhook is None:
        await asyncio.to_thread(rsa_key, emulator.settings.seed)  # drawn once, and slowly
    headers = emulator.deliveries.headers(delivery, body)
    status = 0
    try:
        async with session.post(
            delivery.uri, data=body, headers=headers, allow_redirects=False
        ) as answer:
            status = answer.status
    except (ClientError, TimeoutError, ValueError):
        pass  # no answer is an answer too: it is noted, and the delivery is tried again
    emulator.deliveries.note(delivery, status)
