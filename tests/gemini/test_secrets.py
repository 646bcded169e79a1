"""Neither the key nor an upload's URL shows in anything that is raised, logged or told."""

import asyncio
import gc
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.gemini.client import Gemini
from orchestrator.gemini.transport import Request
from orchestrator.ports import Output, Trouble
from tests.gemini.scripted import Connection, Reply, answer, rpc, scripted
from tests.gemini.values import FILE, JOB, KEY, MemorySession, MemorySink, Text, client, part

UPLOAD_ID = "AJRbUPLOADCANARY0123456789"
CONTENT = b"x" * 1_000_000


async def echo(connection: Connection) -> None:
    """Refuse, repeating all that was sent."""
    seen = await connection.request(body_bytes_max=0)
    said = f"not you: {dict(seen.headers)} {seen.target}"
    await connection.send(rpc(400, "INVALID_ARGUMENT", said, {"reason": KEY}))


async def reset(connection: Connection) -> None:
    await connection.request(body_bytes_max=100)
    connection.reset()


async def cut_answer(connection: Connection) -> None:
    await connection.request(body_bytes_max=100)
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")


FAULTS: dict[str, Reply] = {
    "echo": echo,
    "reset": reset,
    "cut": cut_answer,
    "closed": b"",
    "no HTTP": b"garbage\r\n\r\n",
    "long header": answer(200, b"", {"x": KEY * 30_000}),
    "503": rpc(503, "UNAVAILABLE", f"down for {KEY}"),
    "401": rpc(401, "UNAUTHENTICATED", f"{KEY} is bad"),
    "redirect": answer(302, b"", {"location": f"http://other.example/?key={KEY}"}),
    "bad JSON": answer(200, f'{{"name": "{KEY}'.encode()),
}
Call = Callable[[Gemini], Awaitable[Any]]


def _session(gemini: Gemini) -> MemorySession:
    return MemorySession(
        f"{gemini._transport.service.base_url}/upload/v1beta/files?upload_id={UPLOAD_ID}"
    )


CALLS: dict[str, Call] = {
    "create": lambda gemini: gemini.jobs.create(part(), FILE, None),
    "create inline": lambda gemini: gemini.jobs.create(part(), None, Text(CONTENT)),
    "list": lambda gemini: gemini.jobs.scan(),
    "look": lambda gemini: gemini.jobs.look(JOB),
    "cancel": lambda gemini: gemini.jobs.cancel(JOB),
    "model": lambda gemini: gemini.jobs.model("m"),
    "download": lambda gemini: gemini.jobs.download(Output(JOB, FILE), MemorySink()),
    "inline": lambda gemini: gemini.jobs.download(Output(JOB, None), MemorySink()),
    "find": lambda gemini: gemini.files.find(FILE),
    "delete": lambda gemini: gemini.files.delete(FILE),
    "start": lambda gemini: gemini.files.upload(FILE, Text(CONTENT), MemorySession()),
    "query": lambda gemini: gemini.files.upload(FILE, Text(CONTENT), _session(gemini)),
}


def shown(error: BaseException) -> str:
    """Return all that a log could make of an error, its causes and contexts too."""
    chain, texts = [error], []
    while chain:
        one = chain.pop()
        texts += [str(one), repr(one), repr(one.args), repr(vars(one))]
        chain += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join([*texts, *traceback.format_exception(error)])


async def outcome(call: Call, gemini: Gemini, *, with_locals: bool = False) -> str:
    """Make a call and return what can be seen of how it went."""
    try:
        return repr(await call(gemini))
    except Trouble as error:
        if not with_locals:
            return shown(error)
        whole = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(whole.format())


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
async def test_no_fault_of_a_call_shows_the_key(
    call: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """For each call and fault, in debug mode: nothing raised, returned, logged or observed."""
    asyncio.get_running_loop().set_debug(True)
    caplog.set_level(logging.DEBUG)
    observed: list[Any] = []
    texts = []

    async with (
        scripted(FAULTS[fault]) as server,
        client(server.base_url, observe=lambda *seen: observed.append(seen)) as gemini,
    ):
        texts.append(await outcome(CALLS[call], gemini))
        texts += [repr(gemini), repr(gemini.jobs), repr(gemini._transport)]
    gc.collect()

    texts += [caplog.text, repr(observed)]
    assert not any(KEY in text or UPLOAD_ID in text for text in texts)
    assert server.connections >= 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_of_a_chunk_shows_the_upload_url(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The URL of an upload is a capability: it shows as little as the key."""
    asyncio.get_running_loop().set_debug(True)
    caplog.set_level(logging.DEBUG)
    standing = answer(
        200, b"", {"x-goog-upload-status": "active", "x-goog-upload-size-received": "0"}
    )

    async with scripted(standing, FAULTS[fault]) as server, client(server.base_url) as gemini:
        text = await outcome(CALLS["query"], gemini)
    gc.collect()

    assert "Traceback" in text
    assert not any(secret in text + caplog.text for secret in (KEY, UPLOAD_ID))


async def test_a_create_in_a_traceback_with_locals_is_clean() -> None:
    """Even a traceback that shows local variables holds no key: the call's frames are gone."""
    async with scripted(reset) as server, client(server.base_url) as gemini:
        text = await outcome(CALLS["create"], gemini, with_locals=True)

    assert "InDoubt" in text
    assert KEY not in text


def test_a_request_shows_its_name_only() -> None:
    """A request in a log or a traceback is a name."""
    from datetime import timedelta

    from yarl import URL

    request = Request(
        name="upload.query", method="POST", url=URL(f"http://h/?u={UPLOAD_ID}"), limit=timedelta(1)
    )

    assert repr(request) == "Request(upload.query)"


async def test_the_key_goes_into_its_header_and_nowhere_else() -> None:
    """The key is in one header of a request, never in its address or body."""
    async with scripted() as server, client(server.base_url, key=f" {KEY}\n") as gemini:
        for call in CALLS.values():
            await outcome(call, gemini)

        keyed = [seen for seen in server.seen if seen.headers.get("x-goog-api-key") == KEY]
        assert len(keyed) >= len(CALLS) - 1  # an upload's own URL is its right to be used
        for seen in server.seen:
            others = {name: value for name, value in seen.headers.items() if value != KEY}
            assert KEY not in seen.target + str(others)
            assert KEY.encode() not in seen.body
