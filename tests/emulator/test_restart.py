"""The emulator's own death changes nothing that it told anybody."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from orchestrator.emulator import Emulator
from tests.emulator.world import NOON, SETTINGS, line, world


async def test_jobs_files_and_the_clock_go_on(tmp_path: Path) -> None:
    """After a restart jobs have the same names, states and answers, and time has not gone back."""
    async with world(tmp_path) as there:
        done, open_ = await there.create([line("a")]), ""
        there.emulator.advance(3600)
        open_ = await there.create([line("b")], "open")
        before = [await there.get(done), await there.get(open_)]
        output = await there.call("GET", f"/v1beta/{before[0]['response']['responsesFile']}")

    async with world(tmp_path) as there:
        after = [await there.get(done), await there.get(open_)]
        again = await there.call("GET", f"/v1beta/{before[0]['response']['responsesFile']}")
        new = await there.create([line("c")])
        there.emulator.advance(200)
        ended = await there.state(open_)

    assert before == after
    assert output.json["createTime"] == again.json["createTime"]
    assert new not in {done, open_}
    assert ended == "SUCCEEDED"


async def test_a_torn_last_line_of_the_journal_is_dropped(tmp_path: Path) -> None:
    """What a kill left half-written is as if it had never been begun."""
    async with world(tmp_path) as there:
        job = await there.create([line("a")])
    with (tmp_path / "journal.jsonl").open("ab") as journal:
        journal.write(b'["job","torn",{"numb')

    async with world(tmp_path) as there:
        assert await there.state(job) == "PENDING"
        other = await there.create([line("b")])
    async with world(tmp_path) as there:
        assert await there.state(other) == "PENDING"


async def test_a_broken_journal_stops_the_start(tmp_path: Path) -> None:
    """A line in the middle that cannot be read is named, with what to do."""
    (tmp_path / "journal.jsonl").write_bytes(b"nonsense\n[]\n")

    with pytest.raises(ValueError, match=r"journal.jsonl:1: unreadable journal line"):
        Emulator(SETTINGS, clock=lambda: NOON, state_dir=tmp_path)


async def test_a_state_directory_has_one_emulator(tmp_path: Path) -> None:
    """A second emulator on the same directory is refused."""
    async with world(tmp_path):
        with pytest.raises(RuntimeError, match="another emulator uses this state directory"):
            Emulator(SETTINGS, clock=lambda: NOON, state_dir=tmp_path)


@pytest.mark.slow
def test_sigkill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """Of every create that was answered before SIGKILL the job is there after the next start."""
    body = json.dumps(
        {"batch": {"inputConfig": {"requests": {"requests": [{"request": {"contents": []}}]}}}}
    ).encode()
    names: set[str] = set()
    for _ in range(3):
        process, base = _started(tmp_path)
        try:
            known = {job["name"] for job in _get(f"{base}/v1beta/batches").get("operations", [])}
            assert known == names
            for _ in range(20):
                path = "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
                names.add(_get(base + path, body)["name"])
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def _started(folder: Path) -> tuple[subprocess.Popen[str], str]:
    code = "from orchestrator.cli.emulator import emulator; emulator(prog_name='emulator')"
    command = [sys.executable, "-c", code, "--port", "0", "--quiet", "--state-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split(" on ")[1].split(" ")[0]


def _get(url: str, body: bytes | None = None) -> dict[str, Any]:
    request = Request(url, body, {"x-goog-api-key": "k"})
    with urlopen(request) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
