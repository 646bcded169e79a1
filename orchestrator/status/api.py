"""What each route answers. Everything comes from the board, but for events and batches of old."""

import asyncio
import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, TypeVar

import structlog
from aiohttp import web
from pydantic import ValidationError

from orchestrator.domain.ids import SetId
from orchestrator.ports import Clock
from orchestrator.status.board import Board
from orchestrator.status.connections import Connection
from orchestrator.status.control import (
    BODIES,
    Control,
    Done,
    Impossible,
    Order,
    Verb,
)
from orchestrator.status.following import follow
from orchestrator.status.glance import status_view
from orchestrator.status.metrics import Metrics
from orchestrator.status.openapi import document
from orchestrator.status.peers import Peer, peer_of
from orchestrator.status.problems import Declined, first_mistake
from orchestrator.status.recent import History, Recent
from orchestrator.status.routes import (
    JSON,
    BatchesQuery,
    EventsQuery,
    Query,
    SetsQuery,
)
from orchestrator.status.sets_shown import SetFold, display
from orchestrator.status.views import (
    BatchPage,
    BatchView,
    EventPage,
    EventView,
    Health,
    SetPage,
    View,
)

SET_ID_MAX = 32
Q = TypeVar("Q", bound=Query)
log = structlog.get_logger()


class Api:
    """The handlers. `control` carries out orders, `history` reads what memory does not hold."""

    def __init__(  # noqa: PLR0913, PLR0917 - it brings together what the room has
        self,
        board: Board,
        recent: Recent,
        metrics: Metrics,
        history: History,
        control: Control,
        clock: Clock,
        history_seconds: float,
    ) -> None:
        self._board = board
        self._recent = recent
        self._metrics = metrics
        self._history = history
        self._control = control
        self._clock = clock
        self._history_seconds = history_seconds
        self._document = json.dumps(document(board.version)).encode()

    async def status(self, request: web.Request) -> web.Response:
        """Answer with the whole daemon at a glance."""
        return _json(status_view(self._board, self._clock.now()))

    async def sets(self, request: web.Request) -> web.Response:
        """Answer with a page of sets, newest first."""
        query = _query(SetsQuery, request)
        wanted = [of for of in self._board.folds if _wanted(of, query)]
        wanted.sort(key=_place, reverse=True)
        page, more = wanted[: query.limit], len(wanted) > query.limit
        now = self._clock.now()
        items = [self._board.show(of, now) for of in page]
        return _json(SetPage(items=items, next=_cursor(page[-1]) if more else None))

    async def one_set(self, request: web.Request) -> web.Response:
        """Answer with one set."""
        return _json(self._board.show(self._find(request), self._clock.now()))

    async def batches(self, request: web.Request) -> web.Response:
        """Answer with a page of a set's batches."""
        query = _query(BatchesQuery, request)
        request_set = self._find(request).value.info.id
        views = await self._batches(request_set)
        start = bisect_left(views, query.after + 1, key=lambda view: view.serial)
        page = list(views[start : start + query.limit])
        more = len(views) > start + query.limit
        return _json(BatchPage(items=page, next=str(page[-1].serial) if more else None))

    async def _batches(self, request_set: SetId) -> Sequence[BatchView]:
        if self._board.holds(request_set):
            now = self._clock.now()
            return [self._board.show_batch(one, now) for one in self._board.batches(request_set)]
        async with asyncio.timeout(self._history_seconds):
            return await self._history.batches(request_set)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Answer with a page of events, or with a stream of them that goes on."""
        query = _query(EventsQuery, request)
        only = SetId(query.set) if query.set else None
        if JSON in request.headers.get("Accept", "") or request.method == "HEAD":
            events = await self._events(query.after or 0, query.limit, only)
            more = len(events) == query.limit
            return _json(EventPage(items=events, next=str(events[-1].id) if more else None))
        return await follow(request, self._recent, self._events, query, only)

    async def _events(self, after: int, limit: int, only: SetId | None) -> list[EventView]:
        if self._recent.reaches(after):
            return self._recent.since(after, limit, only)
        async with asyncio.timeout(self._history_seconds):
            return list(await self._history.events(after, limit, only))

    async def order(self, request: web.Request) -> web.Response:
        """Carry out an order of the daemon's own user or of root."""
        verb = Verb(request.path.rpartition(":")[2])
        peer = peer_of(request.transport)
        if peer is None or not peer.may_order:
            _note(peer, verb, request.match_info["id"], "refused")
            raise Declined(403, "orders are taken from the daemon's user and root only", "use sudo")
        target = self._find(request).value.info.id
        order = await _order(request, verb)
        try:
            message = await self._control.act(verb, target, order)
        except Impossible as error:
            _note(peer, verb, target, "impossible")
            raise Declined(409, error.why, error.remedy) from error
        _note(peer, verb, target, "done")
        return _json(Done(set_id=target, verb=verb.value, message=message))

    async def healthz(self, request: web.Request) -> web.Response:
        """Answer: that is all that is asked."""
        return _json(Health(status="ok"))

    async def readyz(self, request: web.Request) -> web.Response:
        """Answer whether the daemon does its work."""
        if self._board.ready:
            return _json(Health(status="ok"))
        fatal = [condition for condition in self._board.conditions if condition.fatal]
        if fatal:
            raise Declined(503, fatal[0].message, fatal[0].remedy)
        raise Declined(503, f"the daemon is {self._board.phase}", "try again in a moment")

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer with everything that can be measured."""
        return web.Response(
            body=self._metrics.text(), headers={"Content-Type": self._metrics.content_type}
        )

    async def openapi(self, request: web.Request) -> web.Response:
        """Answer with the description of all this."""
        return web.Response(body=self._document, headers={"Content-Type": JSON})

    def _find(self, request: web.Request) -> SetFold:
        found = self._board.get(SetId(request.match_info["id"]))
        if found is None:
            raise Declined(404, "there is no such set", "GET /v1/sets lists them")
        return found


def _note(peer: Peer | None, verb: Verb, target: str, outcome: str) -> None:
    who = {} if peer is None else {"pid": peer.pid, "uid": peer.uid}
    log.info("socket.ordered", verb=verb.value, set=target[:SET_ID_MAX], outcome=outcome, **who)


def _json(view: View) -> web.Response:
    headers = {"Content-Type": JSON, "Cache-Control": "no-store"}
    return web.Response(body=view.model_dump_json().encode(), headers=headers)


def _query(model: type[Q], request: web.Request) -> Q:
    given: dict[str, Any] = {}
    for name in set(request.query):
        values = request.query.getall(name)
        given[name] = values if name == "state" else values[0]
        if len(values) > 1 and name != "state":
            raise Declined(400, f"{name}: is given {len(values)} times", "give it once")
    try:
        return model.model_validate(given)
    except ValidationError as error:
        known = ", ".join(model.model_fields)
        raise Declined(400, first_mistake(error), f"the parameters are {known}") from error


async def _order(request: web.Request, verb: Verb) -> Order:
    connection = request.protocol
    assert isinstance(connection, Connection)
    try:
        async with asyncio.timeout(connection.bounds.idle_seconds):
            body = await request.read()
    except TimeoutError as error:
        raise Declined(408, "the body of the order does not come", "send it whole") from error
    if body and request.content_type != JSON:
        raise Declined(415, "the body is not JSON", f"send Content-Type: {JSON}")
    try:
        return BODIES.get(verb, Order).model_validate_json(body or b"{}")
    except ValidationError as error:
        raise Declined(400, first_mistake(error), "see /openapi.json for the body") from error


def _wanted(of: SetFold, query: SetsQuery) -> bool:
    words = {of.value.state, display(of.value, of.flags)}
    return (
        (not query.state or not words.isdisjoint(query.state))
        and query.name in {None, of.value.info.name}
        and (query.id is None or of.value.info.id.startswith(query.id))
        and (query.after is None or _place(of) < _parse(query.after))
    )


def _place(of: SetFold) -> tuple[int, str]:
    info = of.value.info
    return int(info.received_at.timestamp() * 1_000_000), info.id


def _cursor(of: SetFold) -> str:
    micros, request_set = _place(of)
    return f"{micros}-{request_set}"


def _parse(cursor: str) -> tuple[int, str]:
    micros, _, request_set = cursor.partition("-")
    return int(micros), request_set
