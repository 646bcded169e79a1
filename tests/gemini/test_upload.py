"""An upload never starts from zero while the server holds bytes, and is never finished twice."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from yarl import URL

from orchestrator.domain.ids import FileName
from orchestrator.gemini.upload import Task
from orchestrator.ports import Blocked, Refused, SourceChanged, StoredFile, Unavailable
from tests.gemini.scripted import Connection, Reply, Script, Seen, answer, rpc, scripted
from tests.gemini.values import FILE, KEY, MemorySession, Text, client, stored

CONTENT = bytes(range(256)) * 2000  # 512 000 bytes
GRANULARITY = 1 << 16


def status(
    said: str,
    code: int = 200,
    received: int | None = None,
    body: Any = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    fields = {"x-goog-upload-status": said, "content-type": "text/plain", **(headers or {})}
    if received is not None:
        fields["x-goog-upload-size-received"] = str(received)
    return answer(code, body, fields)


def final(content: bytes = CONTENT, name: str = FILE) -> bytes:
    return status("final", body={"file": stored(content, name)})


def active(received: int | None = None) -> bytes:
    return status("active", received=received)


def started(base_url: str, headers: Mapping[str, str] | None = None) -> bytes:
    url = f"{base_url}/upload/v1beta/files?upload_id=AJRbSECRET0123&upload_protocol=resumable"
    fields = {"x-goog-upload-url": url, "x-goog-upload-chunk-granularity": str(GRANULARITY)}
    return status("active", headers={**fields, **(headers or {})})


def begin(server: Script) -> Reply:
    async def reply(connection: Connection) -> None:
        await connection.request()
        await connection.send(started(server.base_url))

    return reply


def cut(count: int, *, reset: bool = True) -> Reply:
    """Take so many bytes of the chunk, then break off."""

    async def reply(connection: Connection) -> None:
        await connection.request(body_bytes_max=count)
        if reset:
            connection.reset()

    return reply


def commands(server: Script) -> list[str]:
    shown = []
    for seen in server.seen:
        command = seen.headers.get("x-goog-upload-command", seen.method)
        offset = seen.headers.get("x-goog-upload-offset")
        shown.append(command if offset is None else f"{command} at {offset}")
    return shown


def sent(server: Script) -> dict[int, bytes]:
    return {
        int(seen.headers["x-goog-upload-offset"]): seen.body
        for seen in server.seen
        if "x-goog-upload-offset" in seen.headers
    }


async def upload(
    server: Script,
    *replies: Reply,
    body: Text | None = None,
    session: MemorySession | None = None,
    **arguments: Any,
) -> StoredFile:
    server.replies[:] = replies
    server.connections = 0
    async with client(server.base_url, **arguments) as gemini:
        return await gemini.files.upload(
            FILE, body or Text(CONTENT), session if session is not None else MemorySession()
        )


def session_url(server: Script) -> str:
    return f"{server.base_url}/upload/v1beta/files?upload_id=AJRbSECRET0123"


async def test_an_upload_is_started_sent_and_finished() -> None:
    """Start names the file, its size and type; one request carries all; the session is over."""
    session, steps = MemorySession(), []
    async with scripted() as server:
        file = await upload(
            server,
            begin(server),
            final(),
            session=session,
            progressed=lambda *step: steps.append(step),
        )

        start, chunk = server.seen
        assert start.target == "/upload/v1beta/files"
        assert msgspec.json.decode(start.body)["file"]["name"] == FILE
        assert start.headers["x-goog-upload-header-content-length"] == str(len(CONTENT))
        assert start.headers["x-goog-upload-header-content-type"] == "application/jsonl"
        assert start.headers["x-goog-api-key"] == KEY
        assert commands(server) == ["start", "upload, finalize at 0"]
        assert chunk.body == CONTENT
        assert "x-goog-api-key" not in chunk.headers
        assert len(session.saved) == 1
    assert (file.name, file.size) == (FILE, len(CONTENT))
    assert session.url is None
    assert steps[-1] == (FILE, len(CONTENT), len(CONTENT))
    assert steps == sorted(steps)


async def test_the_session_is_journaled_before_the_first_byte() -> None:
    """When the chunk arrives, the URL is saved already."""
    session = MemorySession()

    async def chunk(connection: Connection) -> None:
        assert session.url == session_url(server) + "&upload_protocol=resumable"
        await connection.request()
        await connection.send(final())

    async with scripted() as server:
        await upload(server, begin(server), chunk, session=session)


@pytest.mark.parametrize("told", [True, False])
async def test_chunks_follow_the_announced_granularity(told: bool) -> None:  # noqa: FBT001
    """All chunks but the last are multiples of what the server announced, once or each time."""
    headers = {"x-goog-upload-chunk-granularity": str(GRANULARITY)} if told else {}
    async with scripted() as server:
        replies = [begin(server), *[status("active", headers=headers)] * 3, final()]
        await upload(server, *replies, service={"upload_chunk_bytes": 2 * GRANULARITY + 5})

        chunks = sent(server)
    assert list(chunks) == [0, 131072, 262144, 393216]
    assert b"".join(chunks.values()) == CONTENT
    assert {len(chunk) % GRANULARITY for chunk in list(chunks.values())[:-1]} == {0}


@pytest.mark.parametrize("granularity", ["0", "-1", "x", "9" * 30, str(1 << 40)])
async def test_an_absurd_granularity_is_not_used(granularity: str) -> None:
    """One request for all the rest needs no granularity."""
    async with scripted() as server:
        absurd = started(server.base_url, {"x-goog-upload-chunk-granularity": granularity})
        await upload(server, absurd, final(), service={"upload_chunk_bytes": 1000})

        assert commands(server) == ["start", "upload, finalize at 0"]


BORDERS = [0, 1, GRANULARITY - 1, GRANULARITY, GRANULARITY + 1, len(CONTENT) - 1, len(CONTENT)]


@pytest.mark.parametrize("received", BORDERS)
@pytest.mark.parametrize("reset", [True, False])
async def test_a_cut_upload_goes_on_from_what_the_server_holds(
    received: int,
    reset: bool,  # noqa: FBT001
) -> None:
    """At each border: query, then the rest and only the rest."""
    body = Text(CONTENT)
    async with scripted() as server:
        await upload(
            server, begin(server), cut(received, reset=reset), active(received), final(), body=body
        )

        last = "finalize" if received == len(CONTENT) else "upload, finalize"
        assert commands(server)[2:] == ["query", f"{last} at {received}"]
        assert server.seen[-1].body == CONTENT[received:]
        assert body.offsets == [0, received]


@pytest.mark.parametrize("received", BORDERS)
async def test_a_journaled_session_is_resumed_by_query(received: int) -> None:
    """After a crash nothing is started: the server is asked and gets the rest."""
    async with scripted() as server:
        session = MemorySession(session_url(server))
        await upload(server, active(received), final(), session=session)

        assert commands(server)[0] == "query"
        assert server.seen[-1].body == CONTENT[received:]
    assert session.saved == []
    assert session.url is None


async def test_a_lost_final_answer_is_found_by_query() -> None:
    """The finish was done, its answer lost: nothing is sent again."""
    async with scripted() as server:
        file = await upload(server, begin(server), cut(len(CONTENT)), final())

        assert commands(server) == ["start", "upload, finalize at 0", "query"]
    assert file.size == len(CONTENT)


async def test_a_finish_without_a_description_is_found_by_name() -> None:
    """`final` without a body: the file is looked up by the name that we chose."""
    async with scripted() as server:
        lost = [begin(server), cut(len(CONTENT)), status("final"), answer(200, stored(CONTENT))]
        file = await upload(server, *lost)

        assert server.seen[-1].target == f"/v1beta/{FILE}"
    assert file.size == len(CONTENT)


async def test_a_finished_file_that_is_not_there_is_tried_again_later() -> None:
    """A finish that nobody can show is Unavailable, and the next call starts anew."""
    gone = rpc(403, "PERMISSION_DENIED", "or it may not exist")
    async with scripted() as server:
        session = MemorySession(session_url(server))
        with pytest.raises(Unavailable):
            await upload(server, status("final"), gone, session=session)
        await upload(server, begin(server), final(), session=session)


OUT_OF_STEP: dict[str, list[Reply]] = {
    "409 active": [status("active", 409), active(GRANULARITY)],
    "400 active": [status("active", 400), active(GRANULARITY)],
    "412": [answer(412, b"x", {"content-type": "text/plain"}), active(GRANULARITY)],
    "no status": [answer(200, b"", {"content-type": "text/plain"}), active(GRANULARITY)],
    "active after a finish": [status("active"), active(GRANULARITY)],
}


@pytest.mark.parametrize("replies", OUT_OF_STEP.values(), ids=OUT_OF_STEP.keys())
async def test_out_of_step_means_query(replies: list[Reply]) -> None:
    """Whenever the two disagree, the server's count is asked for and believed."""
    async with scripted() as server:
        await upload(server, begin(server), *replies, final())

        assert commands(server)[2:] == ["query", f"upload, finalize at {GRANULARITY}"]


async def test_no_progress_is_not_repeated_without_end() -> None:
    """If a query shows the same offset again, one more try is made, then the caller waits."""
    session = MemorySession()
    async with scripted() as server:
        with pytest.raises(Unavailable):
            await upload(server, begin(server), *[cut(0), active(0)] * 9, final(), session=session)

        assert commands(server).count("upload, finalize at 0") == 2
    assert session.url is not None


TRANSIENT: dict[str, Reply] = {
    "503": answer(503, b"", {"content-type": "text/plain"}),
    "429": rpc(429, "RESOURCE_EXHAUSTED", "slow down", retry_after="7"),
    "408": answer(408, b"", {"content-type": "text/plain"}),
    "503 active": status("active", 503),
    "HTML": answer(200, b"<html>"),
    "403 HTML": answer(403, b"<html>"),
}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT.keys())
@pytest.mark.parametrize("during", ["chunk", "query"])
async def test_a_transient_fault_keeps_the_session(reply: Reply, during: str) -> None:
    """What does not speak for the session leaves it as it is, for the next call to resume."""
    async with scripted() as server:
        session = MemorySession(session_url(server) if during == "query" else None)
        before = [begin(server)] if during == "chunk" else []
        with pytest.raises(Unavailable) as caught:
            await upload(server, *before, reply, NOT_THERE, begin(server), final(), session=session)

        assert session.url is not None
        assert not isinstance(caught.value, Blocked)
        assert caught.value.overloaded == (reply is TRANSIENT["429"])


LOST: dict[str, Reply] = {
    "404": answer(404, b"Upload session not found.", {"content-type": "text/plain"}),
    "410 cancelled": status("cancelled", 410),
    "200 cancelled": status("cancelled"),
    "403": rpc(403, "PERMISSION_DENIED", "x"),
    "a count that is absent": active(),
    "a count that is absurd": active(len(CONTENT) + 1),
    "a count that is no number": status("active", headers={"x-goog-upload-size-received": "-7"}),
    "no status": answer(200, b"", {"content-type": "text/plain"}),
}
NOT_THERE = rpc(403, "PERMISSION_DENIED", "You do not have permission to access the File x or ...")


@pytest.mark.parametrize("reply", LOST.values(), ids=LOST.keys())
async def test_a_lost_session_is_replaced(reply: Reply) -> None:
    """A session that is gone is forgotten, the file looked for, and a new session started."""
    async with scripted() as server:
        session = MemorySession(session_url(server))
        await upload(server, reply, NOT_THERE, begin(server), final(), session=session)

        assert commands(server) == ["query", "GET", "start", "upload, finalize at 0"]


async def test_a_lost_session_may_have_left_the_file() -> None:
    """If the file is there under its name, with our content, it is adopted."""
    async with scripted() as server:
        session = MemorySession(session_url(server))
        file = await upload(server, LOST["404"], answer(200, stored(CONTENT)), session=session)

        assert commands(server) == ["query", "GET"]
    assert file.size == len(CONTENT)


async def test_sessions_are_not_started_without_end() -> None:
    """A server that drops each session is Unavailable."""
    async with scripted() as server:
        dropped = [begin(server), status("cancelled", 410), NOT_THERE]
        with pytest.raises(Unavailable, match="drops each session"):
            await upload(server, *dropped * 9)

        assert commands(server).count("start") == 2


@pytest.mark.parametrize("found", [None, stored(b"other content")])
async def test_a_refused_finish_is_passed_on(found: dict[str, Any] | None) -> None:
    """A non-2xx with `final` is the API's no to this file."""
    no = status("final", 400, body={"error": {"code": 400, "message": "no", "status": "S"}})
    session = MemorySession()
    async with scripted() as server:
        with pytest.raises(Refused) as caught:
            await upload(
                server,
                begin(server),
                no,
                NOT_THERE if found is None else answer(200, found),
                session=session,
            )

    assert caught.value.code == (400 if found is None else 409)
    assert session.url is None


TAKEN = rpc(409, "ALREADY_EXISTS", "the file exists already")


async def test_a_taken_name_with_our_content_is_adopted() -> None:
    """A second start under the same name finds the first file."""
    async with scripted() as server:
        file = await upload(server, TAKEN, answer(200, stored(CONTENT)))

    assert file.size == len(CONTENT)


@pytest.mark.parametrize(
    "held",
    [
        stored(CONTENT[:-1]),
        stored(CONTENT, sha256Hash=stored(CONTENT[::-1])["sha256Hash"]),
        stored(CONTENT, sha256Hash=None),
    ],
    ids=["size", "hash", "hash unknown"],
)
async def test_a_taken_name_with_other_content_is_refused(held: dict[str, Any]) -> None:
    """What is not provably ours is not used."""
    async with scripted() as server:
        with pytest.raises(Refused) as caught:
            await upload(server, TAKEN, answer(200, held))

    assert caught.value.code == 409


@pytest.mark.parametrize(
    ("replies", "trouble"),
    [
        ([TAKEN, NOT_THERE], Refused),
        ([rpc(400, "INVALID_ARGUMENT", "x"), NOT_THERE], Refused),
        ([rpc(413, "INVALID_ARGUMENT", "too large"), NOT_THERE], Refused),
        ([rpc(403, "PERMISSION_DENIED", "x"), NOT_THERE], Blocked),
        ([rpc(401, "UNAUTHENTICATED", "x")], Blocked),
        ([rpc(402, "RESOURCE_EXHAUSTED", "x")], Blocked),
        ([rpc(400, "INVALID_ARGUMENT", "API key not valid.")], Blocked),
        ([rpc(429, "RESOURCE_EXHAUSTED", "x")], Unavailable),
        ([rpc(503, "UNAVAILABLE", "x")], Unavailable),
        ([answer(302, b"", {"location": "http://example.com"})], Unavailable),
        ([b""], Unavailable),
        ([status("active")], Unavailable),
    ],
    ids=["taken", "400", "413", "403", "401", "402", "key", "429", "503", "302", "cut", "no url"],
)
async def test_a_start_that_fails(replies: list[Reply], trouble: type[Exception]) -> None:
    """A start is judged like any call; a no to the name is Refused."""
    async with scripted() as server:
        with pytest.raises(trouble):
            await upload(server, *replies)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{stranger}/u",
        "https://127.0.0.1:{home}/u",
        "ftp://127.0.0.1:{home}/u",
        "http://a:b@127.0.0.1:{home}/u",
        "http://evil.example/u",
        "//127.0.0.1:{home}/u",
        "/u",
        "http://127.0.0.1:{home}\\@evil.example/u",
        "http://[x/u",
        "",
        "http://127.0.0.1:{home}.e/u",
    ],
)
@pytest.mark.parametrize("journaled", [False, True])
async def test_a_hostile_upload_url_is_not_used(url: str, journaled: bool) -> None:  # noqa: FBT001
    """An upload goes to the service's own address or nowhere, whoever gave the URL."""
    async with scripted() as stranger, scripted() as server:
        hostile = url.format(stranger=stranger.port, home=server.port)
        bad = started(server.base_url, {"x-goog-upload-url": hostile})
        session = MemorySession(hostile if journaled else None)
        with pytest.raises(Unavailable, match=r"nothing was sent there"):
            await upload(server, bad, final(), session=session)

        assert commands(server) == ["start"]
        assert stranger.connections == 0
        assert session.saved == []


async def test_an_operator_may_allow_other_hosts() -> None:
    """With the setting an upload follows the service elsewhere, and never with the key."""
    async with scripted(final()) as stranger, scripted() as server:
        elsewhere = started(stranger.base_url)
        await upload(server, elsewhere, service={"other_hosts": True})

        assert stranger.seen[0].body == CONTENT
        assert "x-goog-api-key" not in stranger.seen[0].headers


@pytest.mark.parametrize("changes_at", [0, 200_000, len(CONTENT)])
async def test_a_changed_source_leaves_no_file(changes_at: int) -> None:
    """Even a refusal at the very end comes before the last byte; the session is cancelled."""
    session = MemorySession()
    async with scripted() as server:
        with pytest.raises(SourceChanged):
            await upload(
                server,
                begin(server),
                cut(len(CONTENT)),
                status("cancelled"),
                body=Text(CONTENT, changes_at=changes_at),
                session=session,
            )

        assert commands(server)[-1] == "cancel"
        assert not any(
            _is_whole(seen) for seen in server.seen if "x-goog-upload-offset" in seen.headers
        )
    assert session.url is None


def _is_whole(seen: Seen) -> bool:
    return len(seen.body) == seen.length


async def test_an_empty_file_can_be_uploaded() -> None:
    """No bytes at all are one finishing request."""
    async with scripted() as server:
        await upload(server, begin(server), final(b""), body=Text(b""))

        assert commands(server) == ["start", "upload, finalize at 0"]


@pytest.mark.parametrize(
    "reply",
    [NOT_THERE, rpc(404, "NOT_FOUND", "x"), rpc(400, "INVALID_ARGUMENT", "id too long")],
    ids=["403", "404", "400"],
)
async def test_a_file_that_is_not_there_is_none(reply: bytes) -> None:
    """Files answer 403 for what is gone or foreign: both are None."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        assert await gemini.files.find(FILE) is None


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (answer(403, b"<html>"), Unavailable),
        (rpc(500, "INTERNAL", "x"), Unavailable),
        (answer(200, b"<html>"), Unavailable),
        (answer(200, stored(CONTENT, "files/another")), Unavailable),
        (b"", Unavailable),
        (rpc(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), Blocked),
        (rpc(400, "INVALID_ARGUMENT", "API key not valid."), Blocked),
    ],
    ids=["403 HTML", "500", "HTML", "another file", "closed", "leaked key", "bad key"],
)
async def test_a_file_that_cannot_be_asked_for(reply: bytes, trouble: type[Exception]) -> None:
    """Only the API's own word makes a file absent."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(trouble):
            await gemini.files.find(FileName(FILE))


async def test_a_source_that_cannot_be_read_passes_as_it_is() -> None:
    """A disk's error is not the network's; the session stays for later."""

    class Broken(Text):
        async def pieces(self, offset: int = 0) -> AsyncIterator[bytes]:
            yield self.content[offset : offset + 1000]
            raise OSError(5, "Input/output error")

    session = MemorySession()
    async with scripted() as server:
        with pytest.raises(OSError, match="Input/output error"):
            await upload(
                server, begin(server), cut(len(CONTENT)), body=Broken(CONTENT), session=session
            )

    assert session.url is not None


def test_a_task_shows_its_name_only() -> None:
    """The URL of an upload in hand is not shown."""
    task = Task(FILE, Text(b""), URL("http://h/?upload_id=secret"))

    assert repr(task) == f"Task({FILE})"
