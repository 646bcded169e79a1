"""The upload server: resumable sessions that survive cut connections and restarts, and the one-shot protocols."""

import asyncio
import hashlib
import os
from typing import Any

from aiohttp import web

from orchestrator.emulator import bodies, faults
from orchestrator.emulator.bodies import pick
from orchestrator.emulator.context import Context, json_answer, refused
from orchestrator.emulator.files import FileRecord, Session
from orchestrator.emulator.refusals import Refusal, invalid

REHASH = 1 << 20
STATUS = "X-Goog-Upload-Status"


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
    return await _one_shot(context, protocol or context.request.query.get("uploadType", "media"))


def start(context: Context) -> web.StreamResponse:
    """Open a session; the answer's URL is on the host that the client used."""
    headers = context.request.headers
    file = _file_metadata(context.body)
    declared = headers.get("X-Goog-Upload-Header-Content-Length")
    if declared is not None and not declared.isdigit():
        raise invalid(f"Invalid X-Goog-Upload-Header-Content-Length: {declared}")
    mime = headers.get("X-Goog-Upload-Header-Content-Type")
    session = context.emulator.files.start(
        context.project,
        mime_type=mime or pick(file, "mime_type", "mimeType") or "application/octet-stream",
        declared=int(declared) if declared is not None else None,
        name=_chosen_id(file),
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
    return answer


def _file_metadata(body: bytes) -> dict[str, Any]:
    decoded = bodies.read_as(body, "CreateFileRequest")
    found = decoded.get("file") or {}
    return found if isinstance(found, dict) else {}


def _chosen_id(file: dict[str, Any]) -> str | None:
    name = file.get("name")
    return str(name).removeprefix("files/") if name else None


async def _session_call(context: Context) -> web.StreamResponse:
    session = session_of(context)
    if session is None:
        return _plain(404, None, "Upload session not found.")
    command = command_of(context)
    if faults.of(context.fired, "cancel_session") and session.status == "active":
        context.emulator.files.cancel(session)
    if "query" in command:
        return _query(context, session)
    if session.status == "cancelled":
        return _plain(410, "cancelled", "The upload was cancelled.")
    if "cancel" in command:
        if session.status == "active":
            context.emulator.files.cancel(session)
            return _plain(200, "cancelled", "")
        return _plain(400, "final", "The upload is already finished.")
    if session.status == "final":
        return _plain(400, "final", "The upload is already finished.")
    if not command & {"upload", "finalize"}:
        return _plain(400, "active", "Unknown upload command.")
    return await _receive(context, session, command)


def _query(context: Context, session: Session) -> web.StreamResponse:
    session.turn += 1
    if session.status == "cancelled":
        return _plain(410, "cancelled", "The upload was cancelled.")
    if session.status == "active":
        _settle_part(context, session)
        answer = _plain(200, "active", "")
        answer.headers["X-Goog-Upload-Size-Received"] = str(session.received)
        answer.headers["X-Goog-Upload-Chunk-Granularity"] = str(
            context.emulator.settings.upload_granularity
        )
        return answer
    bare = faults.of(context.fired, "final_without_body")
    if bare or not context.emulator.settings.unknowns.final_query_body:
        return _plain(200, "final", "")
    return _final(context, context.emulator.files.files[session.file_id or ""])


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
    whole = await _write_chunk(context, session) if "upload" in command else True
    if session.turn != turn:
        return _plain(409, "active", "Another request took the session over.")
    if not whole:
        files.rewind(session, session.received)
        return _plain(400, "active", "The request ended early.")
    if session.declared is not None and session.received > session.declared:
        return _mis_sized(context, session, before)
    if not final:
        if (session.received - before) % settings.upload_granularity:
            return _mis_sized(context, session, before)
        return _without_status(context, _plain(200, "active", ""))
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
        text = f"Upload offset {given or 'missing'} does not match the {session.received} bytes received."
        return _plain(409, "active", text)
    length = context.request.content_length
    granularity = context.emulator.settings.upload_granularity
    if "finalize" not in command and length is not None and length % granularity:
        return _plain(
            context.emulator.settings.unknowns.unaligned_chunk_status,
            "active",
            f"A chunk must be a multiple of {granularity} bytes, unless it is the last.",
        )
    return None


async def _write_chunk(context: Context, session: Session) -> bool:
    """Write a body to the part file as it comes; False when the connection was cut before its end."""
    if session.digest is None:
        session.digest = await _rehash(context, session)
    turn, digest = session.turn, session.digest
    cut = faults.of(context.fired, "cut_request")
    limit = session.received + cut.bytes if cut is not None else None
    fd = os.open(
        context.emulator.files.part(session), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    try:
        async for piece in context.request.content.iter_any():
            if session.turn != turn:
                return False
            taken = piece if limit is None else piece[: max(limit - session.received, 0)]
            os.write(fd, taken)
            digest.update(taken)
            session.received += len(taken)
            if limit is not None and session.received >= limit:
                _cut(context)
                return False
    except (ConnectionError, web.RequestPayloadError, asyncio.IncompleteReadError):
        return False
    except asyncio.CancelledError:
        context.emulator.files.rewind(session, session.received)
        raise
    finally:
        os.close(fd)
    return True


def _cut(context: Context) -> None:
    if context.request.transport is not None:
        context.request.transport.abort()


async def _rehash(context: Context, session: Session) -> Any:
    digest = hashlib.sha256()
    part = context.emulator.files.part(session)
    if session.received:
        with part.open("rb") as held:
            while block := held.read(REHASH):
                digest.update(block)
                await asyncio.sleep(0)
    return digest


async def _finish(context: Context, session: Session) -> web.StreamResponse:
    if session.digest is None:
        session.digest = await _rehash(context, session)
    try:
        file = context.emulator.files.finish(session, session.digest.hexdigest())
    except Refusal as refusal:
        context.emulator.files.cancel(session)
        answer = refused(refusal)
        answer.headers[STATUS] = "final"
        return answer
    _doom(context, file)
    return _final(context, file)


def _doom(context: Context, file: FileRecord) -> None:
    now = context.emulator.clock.wall()
    if processing := faults.of(context.fired, "processing"):
        file.active_at = now + round(processing.seconds * 1e9)
    if faults.of(context.fired, "file_failed"):
        file.failed = True
    if vanish := faults.of(context.fired, "file_vanish"):
        file.gone_at = now + round(vanish.seconds * 1e9)
    context.emulator.files.change(file)


def _final(context: Context, file: FileRecord) -> web.Response:
    shown = context.emulator.files.view(file, context.base_url)
    return json_answer({"file": shown}, 200, {STATUS: "final"}, pretty=context.pretty)


def _mis_sized(context: Context, session: Session, before: int) -> web.Response:
    context.emulator.files.rewind(session, before)
    code = context.emulator.settings.unknowns.unaligned_chunk_status
    return _plain(code, "active", "The chunk's size does not fit the upload.")


def _without_status(context: Context, answer: web.StreamResponse) -> web.StreamResponse:
    if faults.of(context.fired, "no_upload_status"):
        answer.headers.popall(STATUS, None)
    return answer


def _plain(code: int, status: str | None, text: str) -> web.Response:
    answer = web.Response(status=code, text=text)
    if status is not None:
        answer.headers[STATUS] = status
    return answer


async def _one_shot(context: Context, protocol: str) -> web.StreamResponse:
    """Take a whole file in one call: its bytes alone, or metadata and bytes as multipart/related."""
    request, files = context.request, context.emulator.files
    metadata: dict[str, Any] = {}
    mime = request.headers.get("X-Goog-Upload-Header-Content-Type") or request.content_type
    body = context.body
    if protocol == "multipart":
        metadata, mime, body = _multipart(request.headers.get("Content-Type", ""), body)
    session = files.start(
        context.project,
        mime_type=mime,
        declared=len(body),
        name=_chosen_id(metadata),
        display_name=pick(metadata, "display_name", "displayName"),
    )
    files.part(session).write_bytes(body)
    session.received = len(body)
    file = files.finish(session, hashlib.sha256(body).hexdigest())
    _doom(context, file)
    return _final(context, file)


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    marker = content_type.partition("boundary=")[2].split(";")[0].strip('" ')
    pieces = body.split(b"--" + marker.encode()) if marker else []
    if len(pieces) != 4:
        raise invalid("A multipart upload has a JSON part and a media part.")
    parts = []
    for piece in pieces[1:3]:
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = dict(
            (name.strip().lower(), value.strip())
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n"))
        )
        parts.append((fields.get("content-type", ""), content.removesuffix(b"\r\n")))
    return _file_metadata(parts[0][1]), parts[1][0] or "application/octet-stream", parts[1][1]
