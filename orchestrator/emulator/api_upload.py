"""The upload server: resumable sessions that survive cut connections and restarts, and the
one-shot protocols.
"""

from aiohttp import web

from orchestrator.emulator import faults, one_shot
from orchestrator.emulator.bodies import pick
from orchestrator.emulator.context import Context, refused
from orchestrator.emulator.file import Session
from orchestrator.emulator.receiving import follower, receive
from orchestrator.emulator.refusals import Refusal, invalid
from orchestrator.emulator.uploaded import (
    STATUS,
    chosen_id,
    doom,
    file_metadata,
    final,
    plain,
)


def session_of(context: Context) -> Session | None:
    """Find the session that a call's `upload_id` names."""
    id_ = context.request.query.get("upload_id")
    return None if id_ is None else context.emulator.files.session(id_)


def command_of(context: Context) -> set[str]:
    """Read the upload commands of a call."""
    given = context.request.headers.get("X-Goog-Upload-Command", "")
    return {word.strip().lower() for word in given.split(",") if word.strip()}


async def upload(context: Context) -> web.StreamResponse:
    """Serve one call of the upload protocol."""
    if context.request.query.get("upload_id") is not None:
        return await _session_call(context)
    protocol = context.request.headers.get("X-Goog-Upload-Protocol", "").lower()
    if protocol == "resumable":
        if "start" not in command_of(context):
            raise invalid("Upload command 'start' is missing.")
        return start(context)
    return one_shot.upload(context, protocol or context.request.query.get("uploadType", "media"))


def start(context: Context) -> web.StreamResponse:
    """Open a session; the answer's URL is on the host that the client used."""
    headers = context.request.headers
    file = file_metadata(context.body)
    declared = headers.get("X-Goog-Upload-Header-Content-Length")
    if declared is not None and not declared.isdigit():
        raise invalid(f"Invalid X-Goog-Upload-Header-Content-Length: {declared}")
    mime = headers.get("X-Goog-Upload-Header-Content-Type")
    session = context.emulator.files.start(
        context.project,
        mime_type=mime or pick(file, "mime_type", "mimeType") or "application/octet-stream",
        declared=int(declared) if declared is not None else None,
        name=chosen_id(file),
        display_name=pick(file, "display_name", "displayName"),
    )
    url = (
        f"{context.base_url}/upload/{context.version}/files"
        f"?upload_id={session.id}&upload_protocol=resumable"
    )
    granularity = context.emulator.settings.upload_granularity
    answer = web.Response(body=b"")
    answer.headers.update(
        {
            "Content-Type": "text/plain; charset=utf-8",
            STATUS: "active",
            "X-Goog-Upload-Chunk-Granularity": str(granularity),
            "X-Goog-Upload-URL": url,
            "X-Goog-Upload-Control-URL": url,
            "X-GUploader-UploadID": session.id,
            "X-Goog-Upload-Header-Content-Type": "application/json; charset=UTF-8",
        }
    )
    for name in ("Origin", "X-Origin", "Referer"):
        answer.headers.add("X-Goog-Upload-Header-Vary", name)
    answer.headers.update(_internals(context.version, session.number))
    return answer


def _internals(version: str, number: int) -> dict[str, str]:
    """What the upload server lets slip of its own affairs in every recording."""
    method = f"google.ai.generativelanguage.{version}.FileService.CreateFile"
    internals = {
        "Backends": f"unix:/tmp/esfbackend.{number}",
        "ESF-Cloud-Client-Params": 'backend_service_name: "generativelanguage.googleapis.com" '
        f'backend_fully_qualified_method: "{method}"',
        "GFE-Backend-Request-Cost": "10.4678",
        "Security-Signals": "FRAMEWORK=ONE_PLATFORM,ENV=emulator",
        "Session-Info": "GgQYECgLIAE6IxIhZ2VuZXJhdGl2ZWxhbmd1YWdlLmdvb2dsZWFwaXMuY29t",
    }
    return {f"X-Goog-Upload-Header-X-Google-{name}": value for name, value in internals.items()}


async def _session_call(context: Context) -> web.StreamResponse:
    session = session_of(context)
    if session is None:
        return plain(404, None, "Upload session not found.")
    command = command_of(context)
    if faults.of(context.fired, "cancel_session") and session.status == "active":
        context.emulator.files.cancel(session)
    if "query" in command:
        return _query(context, session)
    if session.status == "cancelled":
        return plain(410, "cancelled", "The upload was cancelled.")
    if "cancel" in command:
        if session.status == "active":
            context.emulator.files.cancel(session)
            return plain(200, "cancelled", "")
        return plain(400, "final", "The upload is already finished.")
    if session.status == "final":
        return plain(400, "final", "The upload is already finished.")
    if not command & {"upload", "finalize"}:
        return plain(400, "active", "Unknown upload command.")
    return await _receive(context, session, command)


def _query(context: Context, session: Session) -> web.StreamResponse:
    session.turn += 1
    if session.status == "cancelled":
        return plain(410, "cancelled", "The upload was cancelled.")
    if session.status == "active":
        _settle_part(context, session)
        answer = plain(200, "active", "")
        answer.headers["X-Goog-Upload-Size-Received"] = str(session.received)
        answer.headers["X-Goog-Upload-Chunk-Granularity"] = str(
            context.emulator.settings.upload_granularity
        )
        return answer
    bare = faults.of(context.fired, "final_without_body")
    if bare or not context.emulator.settings.unknowns.final_query_body:
        return plain(200, "final", "")
    return final(context, context.emulator.files.files[session.file_id or ""])


def _settle_part(context: Context, session: Session) -> None:
    part = context.emulator.files.part(session)
    size = part.stat().st_size if part.exists() else 0
    if size != session.received:
        context.emulator.files.rewind(session, size)


async def _receive(context: Context, session: Session, command: set[str]) -> web.StreamResponse:
    files, settings = context.emulator.files, context.emulator.settings
    final = "finalize" in command
    refusal = _out_of_step(context, session, command)
    if refusal is not None:
        return refusal
    session.turn += 1
    turn, before = session.turn, session.received
    whole = await receive(context, session) if "upload" in command else True
    if session.turn != turn:
        return plain(409, "active", "Another request took the session over.")
    if not whole:
        files.rewind(session, session.received)
        return plain(400, "active", "The request ended early.")
    if session.declared is not None and session.received > session.declared:
        return _mis_sized(context, session, before)
    if not final:
        if (session.received - before) % settings.upload_granularity:
            return _mis_sized(context, session, before)
        return _without_status(context, plain(200, "active", ""))
    if session.declared is not None and session.received != session.declared:
        return _mis_sized(context, session, before)
    return _without_status(context, await _finish(context, session))


def _out_of_step(
    context: Context, session: Session, command: set[str]
) -> web.StreamResponse | None:
    given = context.request.headers.get("X-Goog-Upload-Offset", "")
    _settle_part(context, session)
    if faults.of(context.fired, "out_of_step") or given != str(session.received):
        if not given and command == {"finalize"}:
            return None
        held = f"the {session.received} bytes received"
        text = f"Upload offset {given or 'missing'} does not match {held}."
        return plain(409, "active", text)
    length = context.request.content_length
    granularity = context.emulator.settings.upload_granularity
    if "finalize" not in command and length is not None and length % granularity:
        return plain(
            context.emulator.settings.unknowns.unaligned_chunk_status,
            "active",
            f"A chunk must be a multiple of {granularity} bytes, unless it is the last.",
        )
    return None


async def _finish(context: Context, session: Session) -> web.StreamResponse:
    sha256 = await follower(context, session).hexdigest(session.received)
    try:
        file = context.emulator.files.finish(session, sha256)
    except Refusal as refusal:
        context.emulator.files.cancel(session)
        answer = refused(refusal)
        answer.headers[STATUS] = "final"
        return answer
    doom(context, file)
    return final(context, file)


def _mis_sized(context: Context, session: Session, before: int) -> web.Response:
    context.emulator.files.rewind(session, before)
    code = context.emulator.settings.unknowns.unaligned_chunk_status
    return plain(code, "active", "The chunk's size does not fit the upload.")


def _without_status(context: Context, answer: web.StreamResponse) -> web.StreamResponse:
    if faults.of(context.fired, "no_upload_status"):
        answer.headers.popall(STATUS, None)
    return answer
