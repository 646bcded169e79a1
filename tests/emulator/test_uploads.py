"""The upload protocol: sessions, offsets, cuts, and what is committed."""

import asyncio
import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.world import GRANULARITY, World, jsonl, line, unknown, world

DATA = b"".join(b"%08d" % number for number in range(600))


async def test_a_start_answers_a_url_on_the_client_s_own_host(there: World) -> None:
    """A start has an empty body and says granularity, status and a URL that needs no key."""
    answer = await there.start(len(DATA), displayName="Test batch")

    assert (answer.status, answer.body) == (200, b"")
    headers = answer.headers
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["server"] == "UploadServer"
    assert headers["x-goog-upload-status"] == "active"
    assert headers["x-goog-upload-chunk-granularity"] == str(GRANULARITY)
    url = headers["x-goog-upload-url"]
    assert url.startswith(f"{there.base}/upload/v1beta/files?upload_id=")
    assert url.endswith("&upload_protocol=resumable")
    assert headers["x-goog-upload-control-url"] == url
    assert headers["x-guploader-uploadid"] in url


async def test_a_finished_upload_is_a_file_field_by_field(there: World) -> None:
    """The final answer is the file, with int64 as text and the hash as base64 of its hex digits."""
    file = await there.upload(DATA, displayName="Test batch")

    expected = base64.b64encode(hashlib.sha256(DATA).hexdigest().encode()).decode()
    assert re.fullmatch(r"files/[a-z0-9]{12}", file["name"])
    assert re.fullmatch(r"2026-11-24T12:00:00\.\d{6}Z", file["createTime"])
    assert re.fullmatch(r"2026-11-26T11:59:59\.\d{9}Z", file["expirationTime"])
    assert file == {
        "name": file["name"],
        "displayName": "Test batch",
        "mimeType": "application/jsonl",
        "sizeBytes": str(len(DATA)),
        "createTime": file["createTime"],
        "updateTime": file["createTime"],
        "expirationTime": file["expirationTime"],
        "sha256Hash": expected,
        "uri": f"{there.base}/v1beta/{file['name']}",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    assert (await there.call("GET", f"/v1beta/{file['name']}")).json == file


async def test_chunks_go_in_order_and_by_the_granularity(there: World) -> None:
    """Chunks of whole granules are taken one after another; a bare finalize ends the upload."""
    url = (await there.start()).headers["x-goog-upload-url"]

    first = await there.chunk(url, "upload", 0, DATA[:2048])
    odd = await there.chunk(url, "upload", 2048, DATA[2048:3000])
    skipping = await there.chunk(url, "upload", 4096, DATA[4096:])
    second = await there.chunk(url, "upload, finalize", 2048, DATA[2048:])
    after = await there.chunk(url, "upload", len(DATA), DATA[:1024])

    assert (first.status, first.headers["x-goog-upload-status"], first.body) == (200, "active", b"")
    assert (odd.status, odd.headers["x-goog-upload-status"]) == (400, "active")
    assert (skipping.status, skipping.headers["x-goog-upload-status"]) == (409, "active")
    assert (second.status, second.headers["x-goog-upload-status"]) == (200, "final")
    assert second.json["file"]["sizeBytes"] == str(len(DATA))
    assert (after.status, after.headers["x-goog-upload-status"]) == (400, "final")


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_bare_finalize_ends_an_upload(there: World, method: str) -> None:
    """`finalize` alone, with the offset at the end, makes the file; PUT works like POST."""
    url = (await there.start()).headers["x-goog-upload-url"]
    headers = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"}
    await there.call(method, url, DATA[:1024], headers=headers)

    done = await there.chunk(url, "finalize", 1024)

    assert done.json["file"]["sizeBytes"] == "1024"


async def test_an_empty_file_is_a_file(there: World) -> None:
    """One finalize without a byte makes an empty file, whose size is left out as a default; so
    does the next.
    """
    for _ in range(2):
        file = await there.upload(b"")

        assert "sizeBytes" not in file


async def test_a_cut_connection_keeps_whole_granules(there: World) -> None:
    """After a cut a query says what is committed, and the upload goes on from there."""
    url = (await there.start(len(DATA))).headers["x-goog-upload-url"]
    await _send_and_cut(there, url, DATA, sent=3500)

    query = await _settled_query(there, url)
    offset = int(query.headers["x-goog-upload-size-received"])
    done = await there.chunk(url, "upload, finalize", offset, DATA[offset:])

    assert (query.status, query.headers["x-goog-upload-status"]) == (200, "active")
    assert offset == 3072
    digest = base64.b64decode(done.json["file"]["sha256Hash"]).decode()
    assert digest == hashlib.sha256(DATA).hexdigest()


async def _send_and_cut(there: World, url: str, data: bytes, sent: int) -> None:
    host, port = there.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST {url.removeprefix(there.base)} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"X-Goog-Upload-Command: upload, finalize\r\nX-Goog-Upload-Offset: 0\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data[:sent])
    await writer.drain()
    writer.write_eof()
    assert await reader.read() is not None
    writer.close()


async def _settled_query(there: World, url: str) -> Any:
    return await there.chunk(url, "query")


async def test_a_finished_session_answers_a_query_with_its_file(
    there: World, tmp_path: Path
) -> None:
    """A query after the end is `final` with the file, or without where the service is like that."""
    url = (await there.start()).headers["x-goog-upload-url"]
    done = await there.chunk(url, "upload, finalize", 0, DATA)

    query = await there.chunk(url, "query")

    assert query.headers["x-goog-upload-status"] == "final"
    assert query.json == done.json
    async with world(tmp_path / "other", unknown(final_query_body=False)) as other:
        url = (await other.start()).headers["x-goog-upload-url"]
        await other.chunk(url, "upload, finalize", 0, DATA)
        query = await other.chunk(url, "query")
        assert (query.headers["x-goog-upload-status"], query.body) == ("final", b"")


async def test_a_cancelled_session_is_gone(there: World) -> None:
    """After cancel a session answers 410 and `cancelled`; an unknown one 404."""
    url = (await there.start()).headers["x-goog-upload-url"]

    cancelled = await there.chunk(url, "cancel")
    query = await there.chunk(url, "query")
    unknown_one = await there.chunk(url.replace("upload_id=", "upload_id=x"), "query")

    assert (cancelled.status, cancelled.headers["x-goog-upload-status"]) == (200, "cancelled")
    assert (query.status, query.headers["x-goog-upload-status"]) == (410, "cancelled")
    assert unknown_one.status == 404


async def test_a_session_is_forgotten_after_a_week(there: World) -> None:
    """A session that is older than its life is a 404."""
    url = (await there.start()).headers["x-goog-upload-url"]
    there.emulator.advance(8 * 24 * 3600)

    assert (await there.chunk(url, "query")).status == 404


async def test_a_chosen_name_is_taken_once(there: World) -> None:
    """A chosen name becomes the file's; a second start with it is a 409, even after deletion."""
    first = await there.upload(DATA, name="files/my-own-name")
    again = await there.start(name="my-own-name")
    await there.call("DELETE", "/v1beta/files/my-own-name")
    reused = await there.start(name="files/my-own-name")

    assert first["name"] == "files/my-own-name"
    assert (again.status, again.json["error"]["status"]) == (409, "ALREADY_EXISTS")
    assert reused.status == 409


@pytest.mark.parametrize("name", ["UPPER", "-dash", "dash-", "a" * 41, "under_score", "files/"])
async def test_an_impossible_name_is_refused(there: World, name: str) -> None:
    """A name that is no file id is a 400 at the start."""
    assert (await there.start(name=name)).status == 400


async def test_the_wrong_size_is_refused_and_can_be_mended(there: World) -> None:
    """A finalize short of the announced size is a 400; the session stays and takes the rest."""
    url = (await there.start(len(DATA))).headers["x-goog-upload-url"]

    short = await there.chunk(url, "upload, finalize", 0, DATA[:1024])
    whole = await there.chunk(url, "upload, finalize", 0, DATA)

    assert (short.status, short.headers["x-goog-upload-status"]) == (400, "active")
    assert whole.status == 200


async def test_one_call_uploads_are_taken(there: World) -> None:
    """Bytes alone, or metadata and bytes as multipart/related, make a file in one call."""
    raw = await there.call(
        "POST",
        "/upload/v1beta/files",
        DATA,
        headers={"X-Goog-Upload-Protocol": "raw", "Content-Type": "text/plain"},
    )
    body = (
        b"--b\r\nContent-Type: application/json\r\n\r\n"
        b'{"file": {"display_name": "two"}}\r\n'
        b"--b\r\nContent-Type: text/csv\r\n\r\n" + DATA + b"\r\n--b--\r\n"
    )
    parts = await there.call(
        "POST",
        "/upload/v1beta/files?uploadType=multipart",
        body,
        headers={"Content-Type": "multipart/related; boundary=b"},
    )

    assert raw.json["file"]["mimeType"] == "text/plain"
    assert parts.json["file"]["displayName"] == "two"
    assert parts.json["file"]["sizeBytes"] == str(len(DATA))
    assert parts.json["file"]["mimeType"] == "text/csv"


async def test_a_huge_hash_is_the_same_beside_the_loop(tmp_path: Path) -> None:
    """Hashing in a thread changes nothing but who does the work."""
    from dataclasses import replace

    from tests.emulator.world import SETTINGS

    data = bytes(range(256)) * 32768
    async with world(tmp_path, replace(SETTINGS, hash_in_thread=True)) as running:
        file = await running.upload(data)

    digest = base64.b64decode(file["sha256Hash"]).decode()
    assert digest == hashlib.sha256(data).hexdigest()


async def test_an_upload_survives_a_restart(tmp_path: Path) -> None:
    """A session goes on after the emulator was started again, with its whole granules."""
    async with world(tmp_path) as running:
        url = (await running.start(len(DATA))).headers["x-goog-upload-url"]
        await running.chunk(url, "upload", 0, DATA[:2048])

    async with world(tmp_path) as running:
        path = "/upload" + url.partition("/upload")[2]
        query = await running.chunk(path, "query")
        done = await running.chunk(path, "upload, finalize", 2048, DATA[2048:])

    assert query.headers["x-goog-upload-size-received"] == "2048"
    digest = base64.b64decode(done.json["file"]["sha256Hash"]).decode()
    assert digest == hashlib.sha256(DATA).hexdigest()


async def test_a_file_can_be_the_input_of_a_batch_whatever_its_type(there: World) -> None:
    """Nobody checks the MIME type of an input."""
    headers = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Type": "jsonl",
    }
    started = await there.call("POST", "/upload/v1beta/files", {}, headers=headers)
    data = jsonl([line("a")])
    url = started.headers["x-goog-upload-url"]
    done = await there.chunk(url, "upload, finalize", 0, data)

    assert done.json["file"]["mimeType"] == "jsonl"
    assert await there.create_of(done.json["file"]["name"])
