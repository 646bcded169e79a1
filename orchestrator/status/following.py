"""The stream of events (server-sent events), which a follower may take up again where it left off.

A follower is at most one page of events long in memory. Trouble: one that does not read is cut
off by its connection; with its `Last-Event-ID` it misses nothing when it comes back.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from orchestrator.domain.ids import SetId
from orchestrator.status.connections import Connection
from orchestrator.status.problems import Declined
from orchestrator.status.recent import Recent
from orchestrator.status.routes import EVENT_STREAM, EventsQuery
from orchestrator.status.views import EventView

HEARTBEAT_SECONDS = 15.0
PAGE_MAX = 500
RETRY = b"retry: 2000\n\n"
HEARTBEAT = b": alive\n\n"
Read: TypeAlias = Callable[[int, int, SetId | None], Awaitable[list[EventView]]]


async def follow(
    request: web.Request, recent: Recent, read: Read, query: EventsQuery, only: SetId | None
) -> web.StreamResponse:
    """Send events as they are committed, until the peer hangs up or the daemon stops.

    Begins after `Last-Event-ID`, else after the query's `after`, else with what comes next.
    """
    after = min(_last_seen(request, query.after, recent.last), recent.last)
    answer = web.StreamResponse(headers={"Content-Type": EVENT_STREAM, "Cache-Control": "no-store"})
    await answer.prepare(request)
    await answer.write(RETRY)
    connection = request.protocol
    assert isinstance(connection, Connection)
    with recent.follow() as bell:
        connection.bell = bell
        while not connection.gone and not recent.closed:
            bell.clear()
            last = recent.last
            events = await read(after, PAGE_MAX, only)
            for event in events:
                await answer.write(_frame(event))
            after = events[-1].id if events else max(after, last)
            if len(events) < PAGE_MAX and not await _rings(bell):
                await answer.write(HEARTBEAT)
    connection.bell = None
    return answer


def _last_seen(request: web.Request, after: int | None, last: int) -> int:
    seen = request.headers.get("Last-Event-ID")
    if seen is None:
        return last if after is None else after
    if not re.fullmatch(r"[0-9]{1,18}", seen):
        raise Declined(400, "Last-Event-ID: must be the id of an event", "leave the header out")
    return int(seen)


async def _rings(bell: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            return await bell.wait()
    except TimeoutError:
        return False


def _frame(event: EventView) -> bytes:
    return f"id: {event.id}\nevent: moved\ndata: {event.model_dump_json()}\n\n".encode()
