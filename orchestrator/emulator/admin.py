"""The admin door under `/__emulator__/`: books, clock, faults, keys, and moving a job by hand.
JSON in and out, no key.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.provider import Emulator

PREFIX = "/__emulator__"


class _Clock(msgspec.Struct, forbid_unknown_fields=True):
    advance: float = 0.0
    speed: float | None = None


class _Move(msgspec.Struct, forbid_unknown_fields=True):
    state: str


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    key: str


async def serve(emulator: Emulator, request: web.Request) -> web.StreamResponse:
    """Serve one call to the admin door; a mistake is a 400 that says what is wrong."""
    path = request.path.removeprefix(PREFIX).strip("/")
    await emulator.settle()
    try:
        return await _serve(emulator, request, path)
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        return _json({"error": str(error)}, 400)


async def _serve(emulator: Emulator, request: web.Request, path: str) -> web.StreamResponse:
    found = _DOORS.get((request.method, path))
    if found is not None:
        return await found(emulator, request)
    if request.method == "POST" and path.startswith("jobs/") and path.endswith(":move"):
        id_ = path.removeprefix("jobs/").removesuffix(":move")
        job = emulator.jobs.jobs.get(id_.removeprefix("batches/"))
        if job is None:
            return _json({"error": f"no job {id_}; GET {PREFIX}/jobs lists them"}, 404)
        move = msgspec.json.decode(await request.read(), type=_Move)
        emulator.jobs.move(job, _state(move.state))
        return _json(emulator.show(job, listed=True))
    doors = sorted(f"{method} {PREFIX}/{door}" for method, door in _DOORS)
    return _json({"error": "no such door", "doors": [*doors, f"POST {PREFIX}/jobs/ID:move"]}, 404)


def _state(text: str) -> str:
    known = {"PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"}
    return f"BATCH_STATE_{text.upper()}" if text.upper() in known else text


async def _ledger(emulator: Emulator, request: web.Request) -> web.StreamResponse:
    return _json(emulator.meter.report(request.query.get("project")))


async def _jobs(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    return _json({"jobs": [msgspec.to_builtins(job) for job in emulator.jobs.jobs.values()]})


async def _files(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    return _json({"files": [msgspec.to_builtins(file) for file in emulator.files.files.values()]})


async def _deliveries(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    listed = emulator.deliveries.deliveries.values()
    return _json({"deliveries": [msgspec.to_builtins(delivery) for delivery in listed]})


async def _calls(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    return _json({"calls": emulator.calls.shown()})


async def _faults(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    return _json({"faults": [msgspec.to_builtins(entry) for entry in emulator.faults.entries]})


async def _add_faults(emulator: Emulator, request: web.Request) -> web.StreamResponse:
    body = await request.read()
    decoded = msgspec.json.decode(body)
    if isinstance(decoded, dict) and "fault" in decoded:
        decoded = decoded["fault"]
    wanted = msgspec.convert(decoded if isinstance(decoded, list) else [decoded], type=list[Fault])
    emulator.faults.add(wanted)
    return await _faults(emulator, request)


async def _clear_faults(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    emulator.faults.clear()
    return _json({})


async def _reset(emulator: Emulator, _request: web.Request) -> web.StreamResponse:
    emulator.reset()
    return _json({})


async def _clock(emulator: Emulator, request: web.Request) -> web.StreamResponse:
    if request.method == "POST":
        asked = msgspec.json.decode(await request.read(), type=_Clock)
        if asked.speed is not None:
            emulator.hurry(asked.speed)
        if asked.advance:
            emulator.advance(asked.advance)
        await emulator.settle()
    clock = emulator.clock
    return _json({"now": clock.wall(), "age": clock.age(), "speed": clock.speed})


async def _revoke(emulator: Emulator, request: web.Request) -> web.StreamResponse:
    emulator.revoke(msgspec.json.decode(await request.read(), type=_Key).key)
    return _json({"revoked": sorted(emulator.revoked)})


async def _restore(emulator: Emulator, request: web.Request) -> web.StreamResponse:
    emulator.restore(msgspec.json.decode(await request.read(), type=_Key).key)
    return _json({"revoked": sorted(emulator.revoked)})


_DOORS: dict[tuple[str, str], Callable[[Emulator, web.Request], Awaitable[web.StreamResponse]]] = {
    ("GET", "ledger"): _ledger,
    ("GET", "jobs"): _jobs,
    ("GET", "files"): _files,
    ("GET", "calls"): _calls,
    ("GET", "deliveries"): _deliveries,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _clock,
    ("POST", "keys:revoke"): _revoke,
    ("POST", "keys:restore"): _restore,
    ("POST", "reset"): _reset,
}


def _json(shown: Any, status: int = 200) -> web.Response:
    body = msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")
