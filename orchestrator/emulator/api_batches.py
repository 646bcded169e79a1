"""The batch endpoints."""

from typing import Any

from aiohttp import web

from orchestrator.emulator import bodies, faults
from orchestrator.emulator.bodies import pick
from orchestrator.emulator.context import Context, page_token
from orchestrator.emulator.creating import Asked
from orchestrator.emulator.refusals import Refusal, invalid
from orchestrator.emulator.views import metadata

KINDS = {"batches.create": "generate", "batches.create_embed": "embed"}


def asked(context: Context) -> Asked:
    """Read a create from its call."""
    return Asked(
        project=context.project,
        version=context.version,
        kind=KINDS[context.endpoint],
        model=context.names["model"],
        body=context.body,
    )


async def create(context: Context) -> web.StreamResponse:
    """Create a job and answer its operation: 200, PENDING, without `done`."""
    return context.json(await context.emulator.create(asked(context), context.fired))


async def get(context: Context) -> web.StreamResponse:
    """Show a job."""
    emulator = context.emulator
    job = emulator.jobs.get(context.project, context.names["id"])
    return context.json(emulator.show(job, listed=False))


async def list_(context: Context) -> web.StreamResponse:
    """List jobs of both kinds, a page at a time."""
    emulator, unknowns = context.emulator, context.emulator.settings.unknowns
    if context.query("filter") and unknowns.list_filter == "refused":
        raise invalid("List filter is not supported.")
    if (context.query("returnPartialSuccess") or "").lower() == "true":
        raise Refusal(501, "Partial success is not supported.", "UNIMPLEMENTED")
    size, offset = context.page(unknowns.batches_page_default, unknowns.batches_page_max)
    jobs = emulator.jobs.list(context.project)
    hide = faults.of(context.fired, "hide")
    if hide is not None:
        newest = emulator.clock.wall() - round(hide.seconds * 1e9)
        jobs = [job for job in jobs if job.created < newest] if hide.seconds else []
    page = jobs[offset : offset + size]
    token = page_token(offset + size) if offset + size < len(jobs) else None
    shown = [emulator.show(job, listed=True) for job in page]
    return context.json(_page(shown, token, context))


def _page(shown: list[dict[str, Any]], token: str | None, context: Context) -> dict[str, Any]:
    if faults.of(context.fired, "empty_list"):
        shown, token = [], None
    if faults.of(context.fired, "empty_page"):
        shown, token = [], page_token(context.page(1, 1)[1])
    if cut := faults.of(context.fired, "truncate_page"):
        shown, token = shown[: cut.count], None
    if faults.of(context.fired, "repeat_page_token") and token is not None:
        token = context.query("pageToken") or token
    page: dict[str, Any] = {"operations": shown} if shown else {}
    return page | ({"nextPageToken": token} if token is not None else {})


async def cancel(context: Context) -> web.StreamResponse:
    """Ask a job to stop."""
    job = context.emulator.jobs.get(context.project, context.names["id"])
    context.emulator.jobs.cancel(job)
    return context.json({})


async def delete(context: Context) -> web.StreamResponse:
    """Delete a job and its output file."""
    job = context.emulator.jobs.get(context.project, context.names["id"])
    context.emulator.jobs.delete(job)
    return context.json({})


async def patch(context: Context) -> web.StreamResponse:
    """Change a job's display name or priority; answers the batch, not an operation."""
    emulator, unknowns = context.emulator, context.emulator.settings.unknowns
    if not unknowns.patch:
        raise Refusal(
            501, "Operation is not implemented, or supported, or enabled.", "UNIMPLEMENTED"
        )
    job = emulator.jobs.get(context.project, context.names["id"])
    message = "GenerateContentBatch" if context.endpoint == "batches.patch" else "EmbedContentBatch"
    body = bodies.read_as(context.body, message)
    paths = [p for p in (context.query("updateMask") or "").split(",") if p]
    names = paths or [name for name in ("displayName", "priority") if name in body]
    for path in names:
        match path:
            case "displayName" | "display_name":
                job.display_name = pick(body, "display_name", "displayName")
            case "priority":
                job.priority = int(body.get("priority") or 0)
            case _:
                raise invalid(f"Field '{path}' cannot be updated.")
    emulator.jobs.change(job)
    shown = metadata(
        job,
        stale=False,
        output=None,
        progress=0.0,
        unknowns=unknowns,
    )
    shown.pop("@type")
    return context.json(shown)


HANDLERS = {
    "batches.create": create,
    "batches.create_embed": create,
    "batches.get": get,
    "batches.list": list_,
    "batches.cancel": cancel,
    "batches.delete": delete,
    "batches.patch": patch,
    "batches.patch_embed": patch,
}
