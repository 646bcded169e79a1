"""How fast a batch's file is uploaded while it is composed, against the SDK's `files.upload`.

    python -m benchmarks.sdk_upload [--megabytes 500] [--lines 250 2000 50000] [--rounds 3]
                                    [--json FILE]

Both clients upload to one emulator, a process of its own. Ours composes what it sends from the
claimed source, with block digests checked; the SDK sends a file of the same bytes that lies ready.
Rounds alternate and the best of each counts. The exit code is 1 when ours is slower.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from google import genai
from google.genai import types

from benchmarks.compose_upload import compose, planned
from benchmarks.processes import MEGABYTE
from benchmarks.world import KEY, emulated
from orchestrator.daemon.clocks import WallClock
from orchestrator.domain.ids import FileName, InstallId
from orchestrator.gemini.client import Gemini
from orchestrator.gemini.service import Service
from orchestrator.spool.body import ComposedBody
from orchestrator.spool.pool import Inline
from orchestrator.spool.session import SessionFile

FLOOR = 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: wall seconds and CPU seconds of each client, best of the rounds."""

    line_bytes: int
    megabytes: float
    sdk_seconds: float
    sdk_cpu_seconds: float
    seconds: float
    cpu_seconds: float
    ratio: float


async def ours(url: str, body: ComposedBody, name: str, room: Path) -> tuple[float, float]:
    """Upload once with the daemon's client; returns seconds and CPU seconds."""
    service, install = Service(base_url=url), InstallId("0" * 16)
    async with Gemini(service, lambda: KEY, install, WallClock()) as client:
        start, cpu = time.perf_counter(), time.process_time()
        stored = await client.files.upload(
            FileName(name), body, SessionFile(room / "session" / name[6:], Inline())
        )
        taken = time.perf_counter() - start, time.process_time() - cpu
        assert stored.size == body.size
        await client.files.delete(stored.name)
    return taken


def sdk(client: genai.Client, path: Path) -> tuple[float, float]:
    """Upload once with the SDK; returns seconds and CPU seconds."""
    config = types.UploadFileConfig(mime_type="application/jsonl")
    start, cpu = time.perf_counter(), time.process_time()
    stored = client.files.upload(file=path, config=config)
    taken = time.perf_counter() - start, time.process_time() - cpu
    assert stored.size_bytes == path.stat().st_size
    assert stored.name
    client.files.delete(name=stored.name)
    return taken


def measure(options: argparse.Namespace, line_bytes: int) -> Row:
    """Measure lines of one length."""
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        requests = max(options.megabytes * MEGABYTE // line_bytes, 1)
        body = asyncio.run(planned(room, requests, line_bytes))
        asyncio.run(compose(body, room / "ready"))
        theirs, own = [], []
        with emulated(room) as (url, _):
            options_of_http = types.HttpOptions(base_url=url)
            client = genai.Client(api_key=KEY, http_options=options_of_http)
            for turn in range(options.rounds):
                theirs.append(sdk(client, room / "ready"))
                own.append(asyncio.run(ours(url, body, f"files/bench-{line_bytes}-{turn}", room)))
    return Row(
        line_bytes=line_bytes,
        megabytes=body.size / MEGABYTE,
        sdk_seconds=min(theirs)[0],
        sdk_cpu_seconds=min(cpu for _, cpu in theirs),
        seconds=min(own)[0],
        cpu_seconds=min(cpu for _, cpu in own),
        ratio=min(theirs)[0] / min(own)[0],
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--lines", type=int, nargs="+", default=[250, 2000, 50_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    rows = []
    for line_bytes in asked.lines:
        rows.append(measure(asked, line_bytes))
        print(rows[-1], flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(any(row.ratio < FLOOR for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
