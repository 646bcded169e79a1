"""A create is sent once, and what is said about it follows the phase that it came to."""

import asyncio
import gzip
from datetime import timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from orchestrator.domain.jobs import JobState
from orchestrator.gemini.transport import Pool
from orchestrator.ports import Blocked, InDoubt, Refused, SourceChanged, Unavailable
from tests.gemini.scripted import Connection, Reply, answer, rpc, scripted
from tests.gemini.values import FILE, JOB, TOKEN, Text, client, operation, part

HTML = b"<html><body>Please log in</body></html>"
JSON = answer(200, operation())
SHORT: dict[str, Any] = {"service": {"create_timeout": timedelta(seconds=0.3)}}


class Resolver(AbstractResolver):
    """A name service that knows nothing, or never answers."""

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        if self._hangs:
            await asyncio.Event().wait()
        raise OSError(-2, "Name or service not known")

    async def close(self) -> None:
        """Nothing is open."""


def with_resolver(*, hangs: bool = False) -> dict[str, Any]:
    def connectors(pool: Pool) -> aiohttp.BaseConnector:
        return aiohttp.TCPConnector(resolver=Resolver(hangs=hangs), force_close=pool.fresh)

    return {"connectors": connectors, "service": {"connect_timeout": timedelta(seconds=0.2)}}


async def reset_at_once(connection: Connection) -> None:
    connection.reset()


async def reset_in_request(connection: Connection) -> None:
    await connection.request(body_bytes_max=10)
    connection.reset()


async def reset_after_request(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def close_after_request(connection: Connection) -> None:
    await connection.request()


async def close_in_headers(connection: Connection) -> None:
    await connection.request()
    await connection.send(JSON[:30])


async def close_in_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(JSON[:-20])


async def reset_in_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(JSON[:-20])
    connection.reset()


async def black_hole(connection: Connection) -> None:
    await connection.request()
    await connection.hang()


async def drip(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        await connection.send(b" ")
        await asyncio.sleep(0.02)


async def endless_interim(connection: Connection) -> None:
    await connection.request()
    while True:
        await connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.02)


DOUBTFUL: dict[str, Reply] = {
    "reset at once": reset_at_once,
    "reset in the request": reset_in_request,
    "reset after the request": reset_after_request,
    "closed after the request": close_after_request,
    "closed in the headers": close_in_headers,
    "closed in the body": close_in_body,
    "reset in the body": reset_in_body,
    "no HTTP": b"not HTTP at all\r\n\r\n",
    "200 HTML": answer(200, HTML),
    "200 empty": answer(200, b""),
    "200 truncated JSON": answer(200, b"[1, 2"),
    "200 no UTF-8": answer(200, b'{"name": "\xff\xfe"}'),
    "200 nested deeply": answer(200, b"[" * 100_000),
    "200 without a name": answer(200, {}),
    "200 a path for a name": answer(200, {"name": "../../etc/passwd"}),
    "200 a name in capitals": answer(200, {"name": "batches/UPPER"}),
    "200 a number for a name": answer(200, {"name": 7}),
    "200 too long a name": answer(200, {"name": f"batches/{'a' * 101}"}),
    "200 with an error": answer(200, {"error": {"code": 400, "message": "no", "status": "S"}}),
    "204": answer(204),
    "302": answer(302, b"", {"location": "https://example.com/"}),
    "400 HTML": answer(400, HTML),
    "400 that says 403": answer(400, {"error": {"code": 403, "message": "m", "status": "S"}}),
    "403 HTML": answer(403, HTML),
    "404 HTML": answer(404, HTML),
    "429 HTML": answer(429, HTML),
    "429 empty": answer(429, b""),
    "408": rpc(408, "", "request timeout"),
    "409": rpc(409, "ABORTED", "aborted"),
    "418": rpc(418, "TEAPOT", "short and stout"),
    "499": rpc(499, "CANCELLED", "cancelled"),
    "500": rpc(500, "INTERNAL", "internal"),
    "502": rpc(502, "", ""),
    "503": answer(503, {"error": {"message": "", "code": 503, "status": "Service Unavailable"}}),
    "504": rpc(504, "DEADLINE_EXCEEDED", "too slow"),
    "a header of 1 MB": answer(200, operation(), {"x-padding": "x" * (1 << 20)}),
    "a body of 9 MB": answer(200, b" " * (9 << 20)),
    "a gzip bomb": answer(200, gzip.compress(b" " * (64 << 20)), {"content-encoding": "gzip"}),
    "no gzip": answer(200, b"not gzip", {"content-encoding": "gzip"}),
    "zstd": answer(200, operation(), {"content-encoding": "zstd"}),
}


@pytest.mark.parametrize("reply", DOUBTFUL.values(), ids=DOUBTFUL.keys())
async def test_whatever_is_not_a_clear_answer_is_doubt(reply: Reply) -> None:
    """After the connection stands, all but a proper answer is InDoubt and nothing is sent again."""
    async with scripted(reply, JSON) as server, client(server.base_url) as gemini:
        with pytest.raises(InDoubt):
            await gemini.jobs.create(part(), FILE, None)

        assert server.connections == 1
        assert len(server.seen) <= 1


@pytest.mark.parametrize("reply", [black_hole, drip, endless_interim])
async def test_a_create_that_does_not_end_is_doubt(reply: Reply) -> None:
    """The total timeout of a create bounds silence and drips alike, and leaves doubt."""
    async with scripted(reply) as server, client(server.base_url, **SHORT) as gemini:
        with pytest.raises(InDoubt, match=r"0\.3 s"):
            await gemini.jobs.create(part(), FILE, None)

        assert len(server.seen) == 1


async def test_a_refused_connection_is_certainly_not_sent() -> None:
    """Without a connection the create may be repeated: Unavailable."""
    async with scripted() as server:
        port = server.port
    async with client(f"http://127.0.0.1:{port}") as gemini:
        with pytest.raises(Unavailable, match="ECONNREFUSED while connecting") as caught:
            await gemini.jobs.create(part(), FILE, None)

    assert not isinstance(caught.value, Blocked)


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_name_that_is_not_found_is_certainly_not_sent(hangs: bool) -> None:  # noqa: FBT001
    """A name service that fails, or is silent, leaves the create unsent: Unavailable."""
    async with client("http://service.example:80", **with_resolver(hangs=hangs)) as gemini:
        with pytest.raises(Unavailable, match="while connecting"):
            await gemini.jobs.create(part(), FILE, None)


async def test_the_answer_is_read_as_a_job() -> None:
    """A 200 with a proper name is the job, and the request says just what was meant."""
    async with scripted(JSON) as server, client(server.base_url) as gemini:
        job = await gemini.jobs.create(part(), FILE, None)

        assert (job.name, job.state, job.display_name) == (JOB, JobState.PENDING, TOKEN)
        assert (job.model, job.requests) == ("gemini-2.5-flash", 3)
        sent = server.seen[0]
        assert sent.method == "POST"
        assert sent.target == "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
        assert msgspec.json.decode(sent.body) == {
            "batch": {"displayName": TOKEN, "inputConfig": {"fileName": FILE}}
        }
        assert sent.headers["connection"] == "close"
        assert 1 <= int(sent.headers["x-server-timeout"]) <= 10


async def test_an_embedding_job_goes_to_its_own_method() -> None:
    """Embeddings are created by asyncBatchEmbedContent, under the model as it was named."""
    async with scripted(JSON) as server, client(server.base_url) as gemini:
        await gemini.jobs.create(
            part(kind="embed", model="models/gemini-embedding-001"), FILE, None
        )

        assert server.seen[0].target == "/v1beta/models/gemini-embedding-001:asyncBatchEmbedContent"


async def test_an_inline_body_is_streamed_with_its_exact_length() -> None:
    """The whole body arrives as composed, announced by Content-Length, not in chunks."""
    body = Text(b"{" + b"x" * 700_000 + b"}")
    async with scripted(JSON) as server, client(server.base_url) as gemini:
        await gemini.jobs.create(part(mode="inline"), None, body)

        assert server.seen[0].body == body.content
        assert "transfer-encoding" not in server.seen[0].headers


async def test_a_source_that_changed_before_is_not_sent() -> None:
    """An inline body is read through first: if it changed, nothing is sent at all."""
    async with scripted(JSON) as server, client(server.base_url) as gemini:
        with pytest.raises(SourceChanged):
            await gemini.jobs.create(part(), None, Text(b"x" * 700_000, changes_at=300_000))

        assert server.connections == 0


@pytest.mark.parametrize("changes_at", [0, 300_000, 700_000])
async def test_a_source_that_changes_under_way_leaves_an_incomplete_request(
    changes_at: int,
) -> None:
    """Even if the source refuses only at its very end, the server never has a whole request."""
    body = Text(b"x" * 700_000, changes_at=changes_at, passes=1)
    async with scripted(JSON) as server, client(server.base_url) as gemini:
        with pytest.raises(InDoubt, match="source changed"):
            await gemini.jobs.create(part(), None, body)

    assert all(len(seen.body) < seen.length for seen in server.seen)


@pytest.mark.parametrize("difference", [-1, 1])
async def test_a_body_of_another_length_is_a_changed_source(difference: int) -> None:
    """A body that gives more or less than its size is not sent."""

    class Other(Text):
        @property
        def size(self) -> int:
            return len(self.content) + difference

    async with scripted(JSON) as server, client(server.base_url) as gemini:
        with pytest.raises(SourceChanged):
            await gemini.jobs.create(part(), None, Other(b"x" * 100))

        assert server.connections == 0


async def test_a_cancelled_create_stays_cancelled() -> None:
    """Cancellation in the middle surfaces as itself; the journal says that it was being sent."""
    arrived = asyncio.Event()

    async def reply(connection: Connection) -> None:
        await connection.request()
        arrived.set()
        await connection.hang()

    async with scripted(reply) as server, client(server.base_url) as gemini:
        async with asyncio.TaskGroup() as tasks:
            create = tasks.create_task(gemini.jobs.create(part(), FILE, None))
            await arrived.wait()
            create.cancel()

        assert create.cancelled()
        assert server.connections == 1


@pytest.mark.parametrize(
    ("reply", "code", "line"),
    [
        (rpc(400, "INVALID_ARGUMENT", "Error on line 7: No request specified"), 400, 7),
        (rpc(400, "INVALID_ARGUMENT", "Request contains an invalid argument."), 400, None),
        (answer(400, [{"error": {"code": 400, "message": "m", "status": "S"}}]), 400, None),
        (rpc(403, "PERMISSION_DENIED", "You may not access the File x or ..."), 403, None),
        (rpc(404, "NOT_FOUND", "models/x is not found"), 404, None),
        (rpc(413, "INVALID_ARGUMENT", "too large"), 413, None),
    ],
)
async def test_a_definite_no_is_refused(reply: bytes, code: int, line: int | None) -> None:
    """The service's own no, with its words and the line that it names, is Refused."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Refused) as caught:
            await gemini.jobs.create(part(), FILE, None)

    assert (caught.value.code, caught.value.line) == (code, line)


INVALID_KEY = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}


@pytest.mark.parametrize(
    "reply",
    [
        rpc(400, "INVALID_ARGUMENT", "Bad.", INVALID_KEY),
        rpc(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
        rpc(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        rpc(401, "UNAUTHENTICATED", "Request had invalid credentials."),
        rpc(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
        rpc(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers"),
        rpc(403, "PERMISSION_DENIED", "Your API key was reported as leaked."),
    ],
)
async def test_what_stops_the_project_is_blocked_with_a_remedy(reply: bytes) -> None:
    """Key, money and place are not the job's fault: Blocked, and it says what to do."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Blocked) as caught:
            await gemini.jobs.create(part(), FILE, None)

    assert caught.value.remedy


async def test_a_file_that_is_not_ready_may_be_used_later() -> None:
    """A file that is not ACTIVE yet is no reason to refuse: Unavailable."""
    reply = rpc(
        400, "FAILED_PRECONDITION", "The File x is not in an ACTIVE state and usage is not allowed."
    )
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable, match="ACTIVE") as caught:
            await gemini.jobs.create(part(), FILE, None)

    assert not isinstance(caught.value, Blocked)


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "57.238747106s"}


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (rpc(429, "RESOURCE_EXHAUSTED", "quota"), None),
        (rpc(429, "RESOURCE_EXHAUSTED", "quota", RETRY_INFO), 57),
        (rpc(429, "RESOURCE_EXHAUSTED", "quota", retry_after="120"), 120),
        (rpc(429, "RESOURCE_EXHAUSTED", "quota", retry_after="99999999999"), 86400),
        (rpc(429, "RESOURCE_EXHAUSTED", "quota", retry_after="soon"), None),
        (
            rpc(
                429,
                "RESOURCE_EXHAUSTED",
                "quota",
                date="Tue, 24 Nov 2026 06:00:00 GMT",
                retry_after="Tue, 24 Nov 2026 06:05:00 GMT",
            ),
            300,
        ),
    ],
)
async def test_a_quota_is_unavailable_and_overloaded(reply: bytes, seconds: int | None) -> None:
    """429 with the API's own body is certainly not created; how long to wait is passed on."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable) as caught:
            await gemini.jobs.create(part(), FILE, None)

    assert caught.value.overloaded
    assert caught.value.retry_after == (timedelta(seconds=seconds) if seconds else None)


@pytest.mark.parametrize("key", ["", "  \n", "kéy", "two words", "new\nline"])
async def test_a_key_that_cannot_be_sent_blocks_before_a_connection(key: str) -> None:
    """No key, or one that no header can carry, is Blocked and nothing is sent."""
    async with scripted(JSON) as server, client(server.base_url, key=key) as gemini:
        with pytest.raises(Blocked):
            await gemini.jobs.create(part(), FILE, None)

        assert server.connections == 0


@pytest.mark.parametrize("model", ["", "a/b/c", "../files/x", "models/", "x?y", "ü", "a b"])
async def test_what_cannot_be_a_model_is_refused_unsent(model: str) -> None:
    """A model's name goes into a path only if it can be one."""
    async with scripted(JSON) as server, client(server.base_url) as gemini:
        with pytest.raises(Refused) as caught:
            await gemini.jobs.create(part(model=model), FILE, None)

        assert caught.value.code == 404
        assert server.connections == 0
