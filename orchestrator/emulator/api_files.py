"""The file endpoints, uploads apart: metadata, list, delete, register, and both download doors."""

import asyncio
import re
from collections.abc import Iterator

from aiohttp import web

from orchestrator.emulator import bodies, faults
from orchestrator.emulator.clock import http_date, stamp_micros
from orchestrator.emulator.context import ALT_SVC, Context, page_token
from orchestrator.emulator.job import Job
from orchestrator.emulator.refusals import Refusal, entity_not_found, forbidden_file, invalid

_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


async def get(context: Context) -> web.StreamResponse:
    """Show a file, bare; an output file only through its batch."""
    id_ = context.names["id"]
    if id_.startswith("batch-"):
        return context.json(_output_metadata(context, id_))
    file = context.emulator.files.get(context.project, id_)
    return context.json(context.emulator.files.view(file, context.base_url))


def _output_metadata(context: Context, id_: str) -> dict[str, object]:
    if context.emulator.settings.unknowns.output_metadata_get == "forbidden":
        raise forbidden_file(id_)
    job = output_job(context, id_)
    return {
        "name": f"files/{id_}",
        "mimeType": "application/jsonl",
        "createTime": stamp_micros(job.ended or 0),
        "updateTime": stamp_micros(job.ended or 0),
        "uri": f"{context.base_url}/v1beta/files/{id_}",
        "downloadUri": f"{context.base_url}/v1beta/files/{id_}:download?alt=media",
        "state": "ACTIVE",
        "source": "GENERATED",
    }


def output_job(context: Context, id_: str) -> Job:
    """Find the job whose output file this is, or answer 404."""
    emulator = context.emulator
    job = emulator.jobs.jobs.get(id_.removeprefix("batch-"))
    if job is None or job.project != context.project or job.input_file is None:
        raise entity_not_found()
    if not emulator.output_is_there(job):
        raise entity_not_found()
    return job


async def list_(context: Context) -> web.StreamResponse:
    """List uploaded files; output files are not among them."""
    files = context.emulator.files
    size, offset = context.page(10, 100)
    found = files.list(context.project)
    shown = [files.view(file, context.base_url) for file in found[offset : offset + size]]
    page: dict[str, object] = {"files": shown} if shown else {}
    if offset + size < len(found):
        page["nextPageToken"] = page_token(offset + size)
    return context.json(page)


async def generated(context: Context) -> web.StreamResponse:
    """List generated artefacts; batches leave none here."""
    context.page(10, 50)
    return context.json({})


async def delete(context: Context) -> web.StreamResponse:
    """Delete an uploaded file."""
    context.emulator.files.delete(context.project, context.names["id"])
    return context.json({})


async def register(context: Context) -> web.StreamResponse:
    """Register objects of a bucket; needs OAuth, all or nothing."""
    if not context.request.headers.get("Authorization", "").startswith("Bearer "):
        raise Refusal(
            401,
            "Request is missing required authentication credential. Expected OAuth 2 access token, "
            "login cookie or other valid authentication credential.",
        )
    body = bodies.read(context.body)
    uris = body.get("uris") if isinstance(body, dict) else None
    if not isinstance(uris, list) or not all(str(uri).startswith("gs://") for uri in uris):
        raise invalid("* RegisterFilesRequest.uris: every URI must start with gs://\n")
    files = context.emulator.files
    made = [files.register(context.project, str(uri)) for uri in uris]
    return context.json({"files": [files.view(file, context.base_url) for file in made]})


async def create(_context: Context) -> web.StreamResponse:
    """Refuse a file without bytes."""
    raise invalid("* CreateFileRequest.file: no content was uploaded; use /upload/.../files\n")


async def download(context: Context) -> web.StreamResponse:
    """Stream a job's output file; without `alt=media` the answer is an empty message."""
    id_ = context.names["id"]
    unknowns = context.emulator.settings.unknowns
    if not id_.startswith("batch-"):
        context.emulator.files.get(context.project, id_)
        raise invalid("Only generated files can be downloaded; uploaded files cannot.")
    if missing := faults.of(context.fired, "not_there"):
        raise forbidden_file(id_) if missing.status == 403 else entity_not_found()
    job = output_job(context, id_)
    if context.query("alt") != "media":
        return context.json({})
    door = "/download" + context.request.path
    if unknowns.download_redirect and not context.request.path.startswith("/download/"):
        raise web.HTTPFound(f"{context.base_url}{door}?alt=media")
    return await _stream(context, job)


async def _stream(context: Context, job: Job) -> web.StreamResponse:
    emulator, unknowns = context.emulator, context.emulator.settings.unknowns
    ranged = None
    if unknowns.download_range and not faults.of(context.fired, "ignore_range"):
        ranged = _RANGE.match(context.request.headers.get("Range", ""))
    need_size = ranged is not None or unknowns.download_length
    size = await _size(context, job) if need_size else None
    answer = _head(context, job)
    first, last = 0, None if size is None else size - 1
    if ranged is not None and size is not None:
        first = int(ranged.group(1))
        last = min(int(ranged.group(2) or size - 1), size - 1)
        if first >= size:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        answer.set_status(206)
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    if size is not None and last is not None:
        answer.content_length = last - first + 1
    cut = faults.of(context.fired, "cut")
    await answer.prepare(context.request)
    left = None if last is None else last - first + 1
    stop = None
    if cut is not None:
        stop = cut.bytes or int(await _size(context, job) * (cut.fraction or 0.5))
    await _write(answer, emulator.download(job), first, left, stop)
    if stop is not None and context.request.transport is not None:
        context.request.transport.close()
        return answer
    await answer.write_eof()
    return answer


async def _write(
    answer: web.StreamResponse,
    blocks: Iterator[bytes],
    first: int,
    left: int | None,
    stop: int | None,
) -> None:
    at = sent = 0
    for block in blocks:
        piece = block[max(first - at, 0) :]
        at += len(block)
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        if stop is not None and sent + len(piece) >= stop:
            await answer.write(piece[: stop - sent])
            return
        if piece:
            await answer.write(piece)
            sent += len(piece)
        if left == 0:
            return
        await asyncio.sleep(0)


async def _size(context: Context, job: Job) -> int:
    if job.output_size is None:
        size = 0
        for block in context.emulator.download(job):
            size += len(block)
            await asyncio.sleep(0)
        job.output_size = size
        context.emulator.jobs.change(job)
    return job.output_size


def _head(context: Context, job: Job) -> web.StreamResponse:
    answer = web.StreamResponse()
    clock, dice = context.emulator.clock, context.emulator.dice
    answer.headers["Server"] = "UploadServer"
    answer.headers["X-GUploader-UploadID"] = "AJRbA5" + dice.letters(58, "download", job.id)
    for name in ("Origin", "X-Origin", "Referer"):
        answer.headers.add("Vary", name)
    answer.headers["Alt-Svc"] = ALT_SVC
    answer.headers["Expires"] = http_date(clock.wall())
    answer.headers["Content-Type"] = "application/jsonl"
    answer.headers["Content-Disposition"] = "attachment"
    answer.headers["Cache-Control"] = "private, max-age=0"
    return answer


HANDLERS = {
    "files.get": get,
    "files.list": list_,
    "files.create": create,
    "files.delete": delete,
    "files.register": register,
    "files.download": download,
    "generated_files.list": generated,
}
