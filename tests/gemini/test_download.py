"""Answers come down once and whole: resumed where the server can, begun anew where it cannot."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from orchestrator.domain.ids import FileName
from orchestrator.ports import Blocked, Output, Refused, Unavailable
from tests.gemini.scripted import Connection, answer, rpc, scripted
from tests.gemini.values import JOB, MemorySink, client, operation

NAME = FileName("files/batch-4m855v7q30kc7gtzcigdg9m72o87s08w33vp")
FILE = Output(JOB, NAME)
INLINE = Output(JOB, None)
LINES = b"".join(b'{"key":"%d","response":{}}\n' % n for n in range(1000))
JSONL = {"content-type": "application/jsonl"}
WHOLE = answer(200, LINES, JSONL)
FIRST_DOOR = f"/download/v1beta/{NAME}:download?alt=media"
SECOND_DOOR = f"/v1beta/{NAME}:download?alt=media"


def ranged(start: int, stop: int | None = None, encoding: str = "identity") -> bytes:
    part = LINES[start:stop]
    changes = {"content-encoding": encoding}
    total = {"content-range": f"bytes {start}-{start + len(part) - 1}/{len(LINES)}"}
    return answer(206, part, JSONL | total | changes)


async def test_a_result_file_is_streamed_to_the_sink() -> None:
    """The file comes from the recorded door, uncompressed, without a range."""
    sink = MemorySink()
    async with scripted(WHOLE) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(FILE, sink)

        assert sink.content == LINES
        assert server.seen[0].target == FIRST_DOOR
        assert server.seen[0].headers["accept-encoding"] == "identity"
        assert "range" not in server.seen[0].headers


@pytest.mark.parametrize("held", [1, 100, len(LINES) - 1])
async def test_a_download_goes_on_where_it_was_cut(held: int) -> None:
    """What is held is not fetched again."""
    sink = MemorySink(LINES[:held])
    async with scripted(ranged(held)) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(FILE, sink)

        assert (sink.content, sink.restarts) == (LINES, 0)
        assert server.seen[0].headers["range"] == f"bytes={held}-"


@pytest.mark.parametrize(
    "replies",
    [
        [WHOLE],
        [rpc(416, "OUT_OF_RANGE", "x"), WHOLE],
        [ranged(0), WHOLE],
        [ranged(50), WHOLE],
        [answer(206, LINES[100:], JSONL), WHOLE],
        [answer(206, LINES[100:], JSONL | {"content-range": "bytes */7"}), WHOLE],
        [ranged(100, encoding="gzip"), WHOLE],
    ],
    ids=["200", "416", "from 0", "from elsewhere", "from nowhere", "no range", "zipped"],
)
async def test_a_server_that_cannot_resume_makes_us_begin_anew(replies: list[bytes]) -> None:
    """Only a 206 that starts where we end is appended; on any doubt the file is fetched anew."""
    sink = MemorySink(LINES[:100])
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(FILE, sink)

        assert (sink.content, sink.restarts) == (LINES, 1)
        assert "range" not in server.seen[-1].headers or len(replies) == 1


def cut_after(count: int, *, reset: bool) -> Any:
    async def reply(connection: Connection) -> None:
        await connection.request()
        head, _, body = WHOLE.partition(b"\r\n\r\n")
        await connection.send(head + b"\r\n\r\n" + body[:count])
        if reset:
            connection.reset()

    return reply


@pytest.mark.parametrize("count", [0, 1, 5000, len(LINES) - 1])
async def test_a_cut_download_keeps_what_it_has_and_goes_on(count: int) -> None:
    """A cut is Unavailable; the next call fetches the rest only."""
    sink = MemorySink()
    replies = [cut_after(count, reset=False), WHOLE if count == 0 else ranged(count)]
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable):
            await gemini.jobs.download(FILE, sink)
        assert sink.content == LINES[:count]
        await gemini.jobs.download(FILE, sink)

        assert (sink.content, sink.restarts) == (LINES, 0)


async def test_a_reset_download_is_unavailable() -> None:
    """RST in the middle is no end."""
    async with scripted(cut_after(5000, reset=True)) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable):
            await gemini.jobs.download(FILE, MemorySink())


async def test_a_part_that_is_shorter_than_the_file_is_no_end() -> None:
    """The total that the server told must be reached."""
    sink = MemorySink(LINES[:100])
    async with scripted(ranged(100, 200)) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable, match="too soon"):
            await gemini.jobs.download(FILE, sink)

    assert sink.content == LINES[:200]


async def test_the_other_door_is_tried_on_404() -> None:
    """Where the first door is not known, the second is."""
    sink = MemorySink()
    replies = [answer(404, b"<html>"), WHOLE]
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(FILE, sink)

        assert [seen.target for seen in server.seen] == [FIRST_DOOR, SECOND_DOOR]
    assert sink.content == LINES


@pytest.mark.parametrize(
    "reply",
    [
        rpc(403, "PERMISSION_DENIED", "You do not have permission to access the File"),
        rpc(404, "NOT_FOUND", "Requested entity was not found."),
        rpc(400, "INVALID_ARGUMENT", "x"),
        answer(404, b"gone", {"content-type": "text/plain"}),
    ],
    ids=["403", "404", "400", "404 in plain words"],
)
async def test_no_such_output_is_refused(reply: bytes) -> None:
    """The service's own word that there is nothing (now) is Refused; the sink is untouched."""
    sink = MemorySink(b"held")
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Refused):
            await gemini.jobs.download(FILE, sink)

    assert sink.content == b"held"


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (rpc(503, "UNAVAILABLE", ""), Unavailable),
        (rpc(429, "RESOURCE_EXHAUSTED", ""), Unavailable),
        (answer(403, b"<html>"), Unavailable),
        (answer(404, b"<html>"), Unavailable),
        (answer(200, b"<html>Log in"), Unavailable),
        (answer(204), Unavailable),
        (ranged(0), Unavailable),
        (b"", Unavailable),
        (rpc(401, "UNAUTHENTICATED", "x"), Blocked),
    ],
    ids=["503", "429", "403 HTML", "404 HTML", "HTML", "204", "206 unasked", "closed", "401"],
)
async def test_what_is_no_result_file_is_unavailable(
    reply: bytes, trouble: type[Exception]
) -> None:
    """A portal's page is neither an answer nor a refusal; nothing of it reaches the sink."""
    sink = MemorySink()
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(trouble):
            await gemini.jobs.download(FILE, sink)

    assert sink.content == b""


async def test_a_redirect_at_home_is_followed_with_the_key() -> None:
    """The service may have its files under another path of its own."""
    sink = MemorySink()
    replies = [answer(302, b"", {"location": "/elsewhere?x=1"}), WHOLE]
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(FILE, sink)

        assert server.seen[1].target == "/elsewhere?x=1"
        assert "x-goog-api-key" in server.seen[1].headers
    assert sink.content == LINES


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/x",
        "http://localhost:{port}/x",
        "ftp://127.0.0.1/x",
        "file:///etc",
        "//127.0.0.1:{port}/x",
        "http://user:word@127.0.0.1:{home}/x",
        "http://[broken/x",
    ],
)
async def test_a_redirect_to_another_host_is_not_followed(location: str) -> None:
    """Nobody else is talked to, and no credentials are taken from a redirect."""
    async with scripted(WHOLE) as stranger, scripted() as server:
        where = location.format(port=stranger.port, home=server.port)
        server.replies[0] = answer(302, b"", {"location": where})
        async with client(server.base_url) as gemini:
            with pytest.raises(Unavailable):
                await gemini.jobs.download(FILE, MemorySink())

        assert stranger.connections == 0
        assert server.connections == 1


async def test_another_host_gets_no_key() -> None:
    """Where the operator allows other hosts, a redirect is followed without the key."""
    sink = MemorySink()
    async with scripted(WHOLE) as stranger, scripted() as server:
        server.replies[0] = answer(302, b"", {"location": f"{stranger.base_url}/x"})
        async with client(server.base_url, service={"other_hosts": True}) as gemini:
            await gemini.jobs.download(FILE, sink)

        assert "x-goog-api-key" not in stranger.seen[0].headers
    assert sink.content == LINES


async def test_redirects_end() -> None:
    """A circle of redirects is given up."""
    circle = answer(302, b"", {"location": FIRST_DOOR})
    async with scripted(circle) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable, match="redirects"):
            await gemini.jobs.download(FILE, MemorySink())

        assert server.connections == 8


async def test_a_drip_is_given_up() -> None:
    """A transfer that moves too little is ended, whatever it moves."""

    async def drip(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            await connection.send(b"x")
            await asyncio.sleep(0.01)

    sink = MemorySink()
    service = {"stall_timeout": timedelta(seconds=0.3), "stall_bytes_min": 1000}
    async with scripted(drip) as server, client(server.base_url, service=service) as gemini:
        with pytest.raises(Unavailable, match=r"less than 1000 bytes moved within 0\.3 s"):
            await gemini.jobs.download(FILE, sink)

    assert 0 < sink.size < 1000


async def test_a_slow_transfer_may_last() -> None:
    """A transfer that keeps moving outlives the time that bounds its stalls."""

    async def slow(connection: Connection) -> None:
        await connection.request()
        head, _, body = WHOLE.partition(b"\r\n\r\n")
        await connection.send(head + b"\r\n\r\n")
        for start in range(0, len(body), 2000):
            await connection.send(body[start : start + 2000])
            await asyncio.sleep(0.05)

    sink = MemorySink()
    service = {"stall_timeout": timedelta(seconds=0.3), "stall_bytes_min": 1000}
    async with scripted(slow) as server, client(server.base_url, service=service) as gemini:
        await gemini.jobs.download(FILE, sink)

    assert sink.content == LINES


async def test_answers_without_end_are_stopped() -> None:
    """A file that is larger than any answers may be does not fill the disk."""
    sink = MemorySink()
    service = {"download_bytes_max": 5000}
    async with scripted(WHOLE) as server, client(server.base_url, service=service) as gemini:
        with pytest.raises(Unavailable, match="more than 5000 bytes"):
            await gemini.jobs.download(FILE, sink)

    assert sink.size <= 5000


@pytest.mark.parametrize("output", [FILE, INLINE])
async def test_a_full_disk_passes_as_it_is(output: Output) -> None:
    """What the sink raises is not taken for a fault of the network."""
    items = [{"response": {"a": "x" * 100}, "metadata": {"key": str(n)}} for n in range(100)]
    reply = WHOLE if output is FILE else answer(200, inline(items))
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(OSError, match="No space left"):
            await gemini.jobs.download(output, MemorySink(room=3000))


def inline(items: list[Any], **changes: Any) -> dict[str, Any]:
    output = {"inlinedResponses": {"inlinedResponses": items}}
    return operation(
        "BATCH_STATE_SUCCEEDED", metadata={"output": output}, done=True, response=output, **changes
    )


ITEMS = [
    {"response": {"candidates": [{"text": "a\n]}"}]}, "metadata": {"key": "0"}},
    {"error": {"code": 3, "message": "no"}, "metadata": {"key": "1"}},
]
EXPECTED = [
    {"key": "0", "response": {"candidates": [{"text": "a\n]}"}]}},
    {"key": "1", "error": {"code": 3, "message": "no"}},
]


async def test_inline_answers_become_lines_once() -> None:
    """The answers stand twice in the job; one copy of them is written, begun anew each time."""
    sink = MemorySink(b"an old half")
    async with scripted(answer(200, inline(ITEMS))) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(INLINE, sink)

        assert server.seen[0].target == f"/v1beta/{JOB}"
    assert [json.loads(line) for line in sink.content.splitlines()] == EXPECTED


async def test_inline_answers_may_stand_in_one_place_only() -> None:
    """An empty first list does not hide the second."""
    empty: dict[str, Any] = {"inlinedResponses": {"inlinedResponses": []}}
    whole = inline(ITEMS)
    whole["metadata"]["output"] = empty
    sink = MemorySink()
    async with scripted(answer(200, whole)) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(INLINE, sink)

    assert [json.loads(line) for line in sink.content.splitlines()] == EXPECTED


async def test_a_cut_inline_answer_is_unavailable() -> None:
    """Without the end of its list an inline answer is not whole."""
    body = json.dumps(inline(ITEMS)).encode()
    cut = body[: body.index(b'"1"') + 3]
    async with scripted(answer(200, cut)) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable):
            await gemini.jobs.download(INLINE, MemorySink())


async def test_an_empty_list_of_inline_answers_is_an_output() -> None:
    """A job that left every answer out is over: its output is there, and has no line."""
    sink = MemorySink()
    async with scripted(answer(200, inline([]))) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(INLINE, sink)

    assert sink.content == b""


async def test_a_job_without_answers_is_refused() -> None:
    """A job that has no answers in it (yet) says so."""
    reply = answer(200, operation("BATCH_STATE_RUNNING"))
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Refused, match="no answers"):
            await gemini.jobs.download(INLINE, MemorySink())


async def test_answers_that_turn_out_to_be_in_a_file_are_fetched_there() -> None:
    """The job's own word about its result file is followed."""
    sink = MemorySink()
    replies = [answer(200, operation("S", response={"responsesFile": NAME})), WHOLE]
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        await gemini.jobs.download(INLINE, sink)

    assert sink.content == LINES


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (rpc(404, "NOT_FOUND", "x"), Refused),
        (rpc(500, "INTERNAL", "x"), Unavailable),
        (answer(200, b"<html>"), Unavailable),
        (answer(200, b"}"), Unavailable),
        (answer(404, b"<html>"), Unavailable),
        (answer(200, b'{"a": "' + b"x" * (9 << 20)), Unavailable),
        (b"", Unavailable),
    ],
    ids=["404", "500", "HTML", "no JSON", "404 HTML", "endless", "closed"],
)
async def test_inline_answers_that_cannot_be_had(reply: bytes, trouble: type[Exception]) -> None:
    """An inline answer fails like a file's."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(trouble):
            await gemini.jobs.download(INLINE, MemorySink())


async def test_inline_answers_without_end_are_stopped() -> None:
    """Inline answers are bounded like those of a file."""
    items = [{"response": {"a": "x" * 100}, "metadata": {"key": str(n)}} for n in range(100)]
    service = {"download_bytes_max": 5000}
    async with (
        scripted(answer(200, inline(items))) as server,
        client(server.base_url, service=service) as gemini,
    ):
        with pytest.raises(Unavailable, match="more than 5000 bytes"):
            await gemini.jobs.download(INLINE, MemorySink())


async def test_a_sink_that_times_out_is_not_a_stalled_network() -> None:
    """A timeout of the disk (a network file system) passes as it is, like any of its errors."""

    class Hung(MemorySink):
        def append(self, piece: bytes) -> None:
            raise TimeoutError(110, "Connection timed out")

    async with scripted(WHOLE) as server, client(server.base_url) as gemini:
        with pytest.raises(TimeoutError, match="timed out"):
            await gemini.jobs.download(FILE, Hung())
