"""Files of millions of lines: uploaded, run, downloaded and counted in flat memory."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.emulator.served import process

PLAN = """
pending_seconds = 0
running_seconds = 0
[quotas]
enqueued_tokens = { "gemini-2.5-flash" = 0 }
"""
BLOCK_LINES = 2000


def _lines(first: int, count: int) -> bytes:
    text = "Classify the sentiment of this review: the food was good, the service was slow."
    request = f'{{"contents":[{{"parts":[{{"text":"{text} '
    settings = '"}],"role":"user"}],"generationConfig":{"temperature":0.2,"maxOutputTokens":64}}}'
    lines = (
        f'{{"key":"{n}","request":{request}{n}{settings}\n' for n in range(first, first + count)
    )
    return "".join(lines).encode()


async def _stream(count: int) -> AsyncIterator[bytes]:
    for first in range(0, count, BLOCK_LINES):
        yield _lines(first, min(BLOCK_LINES, count - first))


def _peak_megabytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) // 1024


@pytest.mark.parametrize(
    ("count", "megabytes"),
    [
        pytest.param(40_000, 120, marks=pytest.mark.slow),
        pytest.param(2_000_000, 200, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
        pytest.param(8_000_000, 300, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
async def test_millions_of_lines_go_through_in_flat_memory(
    tmp_path: Path, count: int, megabytes: int
) -> None:
    """Upload, create, download and ledger of so many lines stay under so much memory, and none is
    lost.
    """
    key = {"x-goog-api-key": "k"}
    with process(tmp_path, PLAN) as (base, pid):
        async with ClientSession(timeout=ClientTimeout(total=None), headers=key) as session:
            start = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
            async with session.post(f"{base}/upload/v1beta/files", headers=start) as started:
                url = started.headers["X-Goog-Upload-URL"]
            chunk = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
            async with session.post(url, data=_stream(count), headers=chunk) as done:
                file = (await done.json())["file"]
            path = f"{base}/v1beta/models/gemini-2.5-flash:batchGenerateContent"
            body = {"batch": {"inputConfig": {"fileName": file["name"]}}}
            async with session.post(path, json=body) as created:
                job = (await created.json())["name"]
            async with session.get(f"{base}/v1beta/{job}") as got:
                output = (await got.json())["response"]["responsesFile"]
            answered = 0
            door = f"{base}/download/v1beta/{output}:download?alt=media"
            async with session.get(door) as download:
                async for piece in download.content.iter_any():
                    answered += piece.count(b"\n")
            async with session.get(f"{base}/__emulator__/ledger") as ledger:
                books = await ledger.json()
        peak = _peak_megabytes(pid)

    assert answered == count
    assert books["requests"]["executed"] == books["requests"]["distinct"] == count
    assert peak < megabytes
