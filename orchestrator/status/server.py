"""The server on the status socket: the routes, the errors and the life of the socket.

Trouble: a request that fails is answered with a problem and touches nothing else. What is in the
way of the socket is said by `listening`. The server never waits for the ledger longer than a read
of old events takes, so the disk, the provider and the database may all be away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from aiohttp import web

from orchestrator.status.api import Api
from orchestrator.status.connections import BODY_BYTES_MAX, Connection, Gate
from orchestrator.status.listening import BACKLOG, listen
from orchestrator.status.metrics import Metrics
from orchestrator.status.problems import Declined, from_http, problem
from orchestrator.status.recent import Recent
from orchestrator.status.routes import ROUTES
from orchestrator.status.turnstile import Turnstile

SHUTDOWN_SECONDS = 1.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
log = structlog.get_logger()


@asynccontextmanager
async def serving(
    api: Api, recent: Recent, metrics: Metrics, path: Path, group: str | None, gate: Gate
) -> AsyncIterator[None]:
    """Answer on a Unix socket at `path` for as long as the context lasts.

    The caller holds the lock of the state directory. Raises SocketRefused when the socket cannot
    be made. At the end followers are let go, the socket's file is removed.
    """
    listening = listen(path, group)
    try:
        runner = web.AppRunner(
            _application(api, metrics), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS
        )
        await runner.setup()
        try:
            http = runner.server
            assert http is not None
            server = await asyncio.get_running_loop().create_server(
                lambda: Connection(http, gate), sock=listening.socket, backlog=BACKLOG
            )
            try:
                yield
            finally:
                recent.close()
                server.close()
        finally:
            await runner.cleanup()
    finally:
        listening.close()


def _application(api: Api, metrics: Metrics) -> web.Application:
    application = web.Application(middlewares=[_problems], client_max_size=BODY_BYTES_MAX)
    turnstile = Turnstile()
    for route in ROUTES:
        handler = getattr(api, route.handler)
        if route.queues:
            handler = _one_by_one(handler, turnstile)
        application.router.add_route(route.method, route.pattern, handler)
        if route.method == "GET":
            application.router.add_route("HEAD", route.pattern, handler)

    async def finish(request: web.Request, response: web.StreamResponse) -> None:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Server"] = "orchestrator"
        resource = request.match_info.route.resource
        metrics.asked(resource.canonical if resource else "none", response.status)

    application.on_response_prepare.append(finish)
    return application


def _one_by_one(handler: Handler, turnstile: Turnstile) -> Handler:
    async def wait_and_answer(request: web.Request) -> web.StreamResponse:
        await turnstile.turn()
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await handler(request)
        turnstile.took(loop.time() - began)
        return answer

    return wait_and_answer


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into a problem; what nobody expected is written to the log."""
    try:
        return await handler(request)
    except Declined as declined:
        return problem(declined.status, declined.detail, declined.remedy)
    except web.HTTPException as error:
        return from_http(error, request)
    except TimeoutError:
        return problem(503, "the ledger is busy", headers={"Retry-After": "1"})
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception:
        resource = request.match_info.route.resource
        log.exception("socket.failed", route=resource.canonical if resource else "none")
        return problem(500, "this request ran into an error of the daemon's")
