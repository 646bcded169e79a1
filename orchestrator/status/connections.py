"""One connection of the socket, with the bounds that keep a bad reader from costing anything.

Trouble: who sends no whole request for a while, does not read, or is one too many is cut off.
Nobody else notices.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from aiohttp import web

from orchestrator.status.peers import peer_of
from orchestrator.status.problems import PROBLEM_JSON, Problem, problem

LINE_BYTES_MAX = 4096
HEADERS_MAX = 64
BODY_BYTES_MAX = 8192

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a peer may use, and how long it waits for the ledger.

    `connections_max` should be below the process's limit of open files.
    """

    connections_max: int = 1200
    idle_seconds: float = 10.0
    stall_seconds: float = 10.0
    history_seconds: float = 5.0


class Gate:
    """Counts who is inside."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.open = 0


class Connection(web.RequestHandler):
    """An HTTP connection that is cut off when it is idle, stalled or one too many.

    `bell` is rung when the peer hangs up, so that a follower of events notices at once.
    """

    __slots__ = ("_gate", "_inside", "_stalled", "bell", "gone")

    def __init__(self, server: web.Server, gate: Gate) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=gate.bounds.idle_seconds,
            tcp_keepalive=False,
            access_log=None,  # type: ignore[arg-type]  # it may well be
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=0.0,
            auto_decompress=False,
        )
        self._gate = gate
        self._inside = False
        self._stalled: asyncio.TimerHandle | None = None
        self.bell: asyncio.Event | None = None
        self.gone = False

    @property
    def bounds(self) -> Bounds:
        """What the peer may use."""
        return self._gate.bounds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a peer in, or tell it that there are too many."""
        assert isinstance(transport, asyncio.Transport)
        if self._gate.open >= self._gate.bounds.connections_max:
            transport.write(_too_many(self._gate.bounds.connections_max))
            transport.close()
            return
        self._gate.open += 1
        self._inside = True
        transport.set_write_buffer_limits(high=0)
        super().connection_made(transport)
        peer = peer_of(transport)
        if peer is not None:
            log.debug("socket.connected", pid=peer.pid, uid=peer.uid)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget a peer that hung up or was cut off."""
        self.gone = True
        if self._inside:
            self._gate.open -= 1
        if self._stalled is not None:
            self._stalled.cancel()
        if self.bell is not None:
            self.bell.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start counting: the peer does not read as fast as we write."""
        super().pause_writing()
        if self.transport is not None:
            loop = asyncio.get_running_loop()
            patience = self._gate.bounds.stall_seconds
            self._stalled = loop.call_later(patience, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop counting: everything was read."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, and close."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun already")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("socket.failed", route="none", exc_info=exc)
        answer = problem(status, "the request is not well-formed HTTP")
        answer.force_close()
        return answer


def _too_many(limit: int) -> bytes:
    body = Problem(
        title="Service Unavailable",
        status=503,
        detail=f"{limit} connections are open and that is the limit",
        remedy="close some, or try again in a moment",
    )
    told = body.model_dump_json().encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\n"
        f"Content-Type: {PROBLEM_JSON}\r\nContent-Length: {len(told)}\r\n"
        "Connection: close\r\nRetry-After: 1\r\n\r\n"
    )
    return head.encode() + told
