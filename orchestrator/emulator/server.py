"""HTTP over the provider: one way in for every call, from its route to its answer, with faults
and the log on the way.
"""

from collections.abc import Awaitable, Callable

from aiohttp import web

from orchestrator.emulator import (
    admin,
    api_batches,
    api_files,
    api_models,
    api_upload,
    api_webhooks,
    faults,
    misbehave,
    queries,
)
from orchestrator.emulator.call_log import CallRecord
from orchestrator.emulator.clock import http_date
from orchestrator.emulator.context import ALT_SVC, Context, refused
from orchestrator.emulator.faults import Call
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.refusals import Refusal
from orchestrator.emulator.routes import route
from orchestrator.emulator.uploaded import STATUS

Log = Callable[[CallRecord], None]
Handler = Callable[[Context], Awaitable[web.StreamResponse]]

HANDLERS: dict[str, Handler] = {
    **api_batches.HANDLERS,
    **api_files.HANDLERS,
    **api_models.HANDLERS,
    **api_webhooks.HANDLERS,
    "files.upload": api_upload.upload,
}
VARY = ("Origin", "X-Origin", "Referer")
API_HEADERS = (
    ("Server", "scaffolding on HTTPServer2"),
    ("X-XSS-Protection", "0"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("X-Content-Type-Options", "nosniff"),
)
KEYLESS = frozenset({"webhooks.jwks"})
BODY_MAX = 64 * 1024 * 1024


class Server:
    """Serves an emulator; `log` receives a record of every call."""

    def __init__(self, emulator: Emulator, log: Log | None) -> None:
        self._emulator = emulator
        self._log = log

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one call."""
        if request.path.startswith(admin.PREFIX):
            return await admin.serve(self._emulator, request)
        began = self._emulator.clock.wall()
        found = route(request.method, request.path)
        if found is None:
            self._say(request, None, 404, began)
            return _no_such_address()
        context = Context(self._emulator, request, *found)
        try:
            answer = await self._answer(context)
        except ConnectionError:  # the client hung up in the middle of a long answer
            answer = web.Response()
        status = 0 if request.transport is None or request.transport.is_closing() else answer.status
        self._emulator.calls.count(context.project, context.endpoint, status)
        self._say(request, context, status, began)
        return answer

    async def _answer(self, context: Context) -> web.StreamResponse:
        try:
            await self._prepare(context)
            answer = await misbehave.before(context)
            if answer is None:
                began = self._emulator.clock.wall()
                answer = await self._execute(context)
                context.took_ms = (self._emulator.clock.wall() - began) // 1_000_000
            answer = await misbehave.after(context, answer)
        except Refusal as refusal:
            answer = refused(refusal, pretty=context.pretty)
        if not answer.prepared:
            _dress(context, answer)
        return answer

    async def _prepare(self, context: Context) -> None:
        request, emulator = context.request, self._emulator
        session = api_upload.session_of(context) if context.endpoint == "files.upload" else None
        if context.endpoint == "files.upload":
            context.endpoint = _upload_endpoint(context)
        if context.endpoint != "files.upload" or request.query.get("upload_id") is None:
            context.body = await _body(request)
        await emulator.settle()
        if context.endpoint in KEYLESS:
            context.project = ""
        elif request.query.get("upload_id") is None:
            context.project = emulator.project_of(_key(request))
        elif session is not None:
            context.project = session.project
        context.fired = emulator.faults.draw(self._call(context))

    def _call(self, context: Context) -> Call:
        emulator, endpoint, names = self._emulator, context.endpoint, context.names
        batch = file = ""
        if endpoint in {"batches.create", "batches.create_embed"}:
            batch = misbehave.display_name_of(context.body)
        elif endpoint.startswith("batches.") or names.get("id", "").startswith("batch-"):
            job = emulator.jobs.jobs.get(names.get("id", "").removeprefix("batch-"))
            batch = (job.display_name or "") if job is not None else ""
        elif context.request.query.get("upload_id"):
            session = api_upload.session_of(context)
            file = (session.display_name or session.name or "") if session is not None else ""
        elif endpoint.startswith("files.") and "id" in names:
            held = emulator.files.files.get(names["id"])
            file = (held.display_name or held.id) if held is not None else names["id"]
        shown = "batches.create" if endpoint == "batches.create_embed" else endpoint
        return Call(shown, context.project, names.get("model", ""), batch, file)

    async def _execute(self, context: Context) -> web.StreamResponse:
        emulator = self._emulator
        if context.request.query.get("upload_id") is None:
            emulator.limits.call(context.project, context.endpoint)
        if not emulator.settings.unknowns.v1_serves_files and (
            context.version == "v1" and context.endpoint.startswith("files.")
        ):
            raise Refusal(404, "Method not found.")
        if emulator.settings.unknowns.unknown_query == "refused":
            refusal = queries.refusal(context.endpoint, context.request.query)
            if refusal is not None:
                raise refusal
        late = faults.of(context.fired, "late")
        if late is not None and context.endpoint in api_batches.KINDS:
            emulator.create_late(
                api_batches.asked(context), _without(context, "late"), late.seconds
            )
            if late.status:
                return refused(
                    Refusal(
                        late.status,
                        late.message or "Deadline expired before operation could complete.",
                    )
                )
            return misbehave.cut(context)
        name = "files.upload" if context.endpoint in _UPLOADS else context.endpoint
        return await HANDLERS[name](context)

    def _say(self, request: web.Request, context: Context | None, status: int, began: int) -> None:
        if self._log is None:
            return
        self._log(
            CallRecord(
                wall=began,
                status=status,
                milliseconds=(self._emulator.clock.wall() - began) // 1_000_000,
                project=context.project if context is not None else "",
                endpoint=context.endpoint if context is not None else "",
                method=request.method,
                path=request.raw_path.partition("?")[0],
                faults=tuple(fault.do for fault in context.fired) if context is not None else (),
            )
        )


async def _body(request: web.Request) -> bytes:
    """Read a whole body, but never more than the front end would let through."""
    pieces: list[bytes] = []
    size = 0
    if (request.content_length or 0) > BODY_MAX:
        raise _too_large()
    async for piece in request.content.iter_any():
        pieces.append(piece)
        size += len(piece)
        if size > BODY_MAX:
            raise _too_large()
    return b"".join(pieces)


def _too_large() -> Refusal:
    return Refusal(413, f"Request body is larger than {BODY_MAX} bytes.", "INVALID_ARGUMENT")


_UPLOADS = frozenset({"files.start", "files.upload", "files.query", "files.cancel"})


def _upload_endpoint(context: Context) -> str:
    command = api_upload.command_of(context)
    if context.request.query.get("upload_id") is None:
        return "files.start" if "start" in command else "files.upload"
    if "query" in command:
        return "files.query"
    return "files.cancel" if "cancel" in command else "files.upload"


def _without(context: Context, action: str) -> list[faults.Fault]:
    return [fault for fault in context.fired if fault.do != action]


def _key(request: web.Request) -> str | None:
    header = request.headers.get("Authorization", "")
    bearer = header.removeprefix("Bearer ") if header.startswith("Bearer ") else None
    return (
        request.headers.get("x-goog-api-key")
        or request.query.get("key")
        or request.query.get("$key")
        or bearer
        or request.query.get("access_token")
    )


def _no_such_address() -> web.Response:
    """Answer as the service does: 404, empty, and nobody says why."""
    answer = web.Response(status=404, headers=API_HEADERS)
    answer.headers["Content-Type"] = "text/html"
    answer.headers["Server-Timing"] = "gfet4t7; dur=0"
    answer.headers["Alt-Svc"] = ALT_SVC
    return answer


def _dress(context: Context, answer: web.StreamResponse) -> None:
    answer.headers["Alt-Svc"] = ALT_SVC
    if context.endpoint in _UPLOADS or context.endpoint == "files.download":
        answer.headers.setdefault("Server", "UploadServer")
        upload_id = context.request.query.get("upload_id")
        if upload_id is not None:
            answer.headers.setdefault("X-GUploader-UploadID", upload_id)
        if answer.headers.get(STATUS) == "final":
            _vary(answer)
        return
    answer.headers["Server-Timing"] = f"gfet4t7; dur={context.took_ms}"
    answer.headers.update(API_HEADERS)
    _vary(answer)
    if isinstance(answer, web.Response):
        answer.enable_chunked_encoding()


def _vary(answer: web.StreamResponse) -> None:
    for name in VARY:
        answer.headers.add("Vary", name)


def create_app(emulator: Emulator, *, log: Log | None = None) -> web.Application:
    """Make the application: the service under its own paths, the admin door under
    `/__emulator__/`.
    """
    app = web.Application(client_max_size=1 << 40)
    server = Server(emulator, log)

    async def tell_time(_request: web.Request, answer: web.StreamResponse) -> None:
        """Tell one time everywhere: the Date agrees with what is said of jobs and files."""
        answer.headers["Date"] = http_date(emulator.clock.wall())

    app.on_response_prepare.append(tell_time)
    app.router.add_route("*", "/{path:.*}", server.serve)
    return app
