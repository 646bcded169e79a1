"""Uploads in one call: the bytes alone, or metadata and bytes as multipart/related."""

import hashlib
from typing import Any

from aiohttp import web

from orchestrator.emulator.bodies import pick
from orchestrator.emulator.context import Context
from orchestrator.emulator.refusals import invalid
from orchestrator.emulator.uploaded import chosen_id, doom, file_metadata, final


def upload(context: Context, protocol: str) -> web.StreamResponse:
    """Take a whole file in one call and answer it."""
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
        name=chosen_id(metadata),
        display_name=pick(metadata, "display_name", "displayName"),
    )
    files.part(session).write_bytes(body)
    session.received = len(body)
    file = files.finish(session, hashlib.sha256(body).hexdigest())
    doom(context, file)
    return final(context, file)


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, Any], str, bytes]:
    marker = content_type.partition("boundary=")[2].split(";")[0].strip('" ')
    pieces = body.split(b"--" + marker.encode()) if marker else []
    if len(pieces) != 4:
        raise invalid("A multipart upload has a JSON part and a media part.")
    (_, metadata), (mime, media) = (_part(piece) for piece in pieces[1:3])
    return file_metadata(metadata), mime or "application/octet-stream", media


def _part(piece: bytes) -> tuple[str, bytes]:
    head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    mime = ""
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            mime = value.strip()
    return mime, content.removesuffix(b"\r\n")
