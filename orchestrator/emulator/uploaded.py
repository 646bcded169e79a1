"""What an upload says about its file, and how a finished one is answered."""

from typing import Any

from aiohttp import web

from orchestrator.emulator import bodies, faults
from orchestrator.emulator.clock import NS
from orchestrator.emulator.context import Context, json_answer
from orchestrator.emulator.file import FileRecord

STATUS = "X-Goog-Upload-Status"


def file_metadata(body: bytes) -> dict[str, Any]:
    """Read the `file` of a CreateFileRequest; nothing at all is fine too."""
    found = bodies.read_as(body, "CreateFileRequest").get("file")
    return found if isinstance(found, dict) else {}


def chosen_id(file: dict[str, Any]) -> str | None:
    """Read the id that the client chose, with or without its prefix."""
    name = file.get("name")
    return str(name).removeprefix("files/") if name else None


def final(context: Context, file: FileRecord) -> web.Response:
    """Answer a finished upload with its file."""
    shown = context.emulator.files.view(file, context.base_url)
    return json_answer({"file": shown}, 200, {STATUS: "final"}, pretty=context.pretty)


def plain(code: int, status: str | None, text: str) -> web.Response:
    """Answer as the upload server does: a status header, and a text at most."""
    answer = web.Response(status=code, text=text)
    if status is not None:
        answer.headers[STATUS] = status
    return answer


def doom(context: Context, file: FileRecord) -> None:
    """Do to a new file what the faults of its upload ask for."""
    now = context.emulator.clock.wall()
    if processing := faults.of(context.fired, "processing"):
        file.active_at = now + round(processing.seconds * NS)
    if faults.of(context.fired, "file_failed"):
        file.failed = True
    if vanish := faults.of(context.fired, "file_vanish"):
        file.gone_at = now + round(vanish.seconds * NS)
    context.emulator.files.change(file)
