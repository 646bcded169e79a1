"""What `orchestrator emulator` prints, for people, for awk and for scripts."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientSession

from orchestrator.emulator import Fault
from orchestrator.emulator.call_log import COLUMNS, CallRecord, columns, json_line
from orchestrator.emulator.serving import listening
from tests.emulator.world import FLASH, World

CALL = CallRecord(
    wall=1_795_521_600_123_456_789,
    status=0,
    milliseconds=7,
    project="shop",
    endpoint="batches.create",
    method="POST",
    path=FLASH,
    faults=("slow", "lose_answer"),
)


def test_a_call_is_eight_words() -> None:
    """Every column has a word, whatever the call was, so that awk finds it."""
    assert columns(CALL).split(" ") == [
        "2026-11-24T12:00:00.123Z", "cut", "7", "shop", "batches.create", "POST", FLASH,
        "slow,lose_answer",
    ]  # fmt: skip
    bare = CallRecord(
        wall=0, status=404, milliseconds=0, project="", endpoint="", method="GET", path="/"
    )
    assert len(columns(bare).split(" ")) == len(COLUMNS)


def test_a_call_is_json_under_the_same_names() -> None:
    """The JSON line has the columns' names; a cut is status 0."""
    shown = json.loads(json_line(CALL))

    assert tuple(shown) == COLUMNS
    assert (shown["status"], shown["faults"]) == (0, ["slow", "lose_answer"])


async def test_every_call_is_logged_without_its_query(there: World) -> None:
    """Project, endpoint, status and faults are told; a key in the query is not."""
    calls: list[CallRecord] = []
    there.emulator.faults.add([Fault(do="quota", on="batches.list", times=1)])
    async with listening(there.emulator, log=calls.append) as base, ClientSession() as session:
        for path in ("/v1beta/batches?key=secret", "/v1beta/batches?key=secret", "/nowhere?a=b"):
            async with session.get(base + path):
                pass

    assert [(c.status, c.endpoint, c.path, c.faults) for c in calls] == [
        (429, "batches.list", "/v1beta/batches", ("quota",)),
        (200, "batches.list", "/v1beta/batches", ()),
        (404, "", "/nowhere", ()),
    ]
    assert calls[0].project.startswith("project-")


def test_scripts_read_json_from_the_first_line_to_the_last(tmp_path: Path) -> None:
    """`--json` says where it listens, which key to use, its pid and its state; then the books."""
    command = [sys.executable, "-m", "orchestrator", "emulator", "--json", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--state-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    process.terminate()
    books = json.loads(process.stdout.read())
    process.stdout.close()

    assert process.wait() == 0
    assert first["base_url"].startswith("http://127.0.0.1:")
    assert (first["api_key"], first["socket"]) == ("any", None)
    assert (first["pid"], first["state_dir"]) == (process.pid, str(tmp_path))
    assert books["requests"]["accepted"] == 0


async def test_a_client_that_hangs_up_is_a_line_and_no_traceback(
    there: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever stops reading in the middle of an answer is logged as a cut call, as any other."""
    calls: list[CallRecord] = []
    lines = [
        {"key": str(n), "request": {"contents": [{"parts": [{"text": f"{n} " + "long " * 50}]}]}}
        for n in range(12_000)
    ]
    async with listening(there.emulator, "127.0.0.1", 0, log=calls.append) as base:
        job = await there.create(lines)
        there.emulator.advance(3600)
        file = (await there.get(job))["response"]["responsesFile"]
        host, _, port = base.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        path = f"/download/v1beta/{file}:download?alt=media"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nx-goog-api-key: one\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        writer.transport.abort()
        async with asyncio.timeout(20):
            while not calls:  # noqa: ASYNC110 - the server says when it has noticed
                await asyncio.sleep(0.01)

    assert [(call.endpoint, call.status) for call in calls] == [("files.download", 0)]
    assert caplog.records == []
