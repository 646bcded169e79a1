"""How fast an input file is composed while it is uploaded, against curl with the same bytes ready.

    python -m benchmarks.compose_upload [--megabytes 1000] [--lines 250 2000 50000] [--rounds 3]
                                        [--json FILE]

One server process on loopback reads requests and forgets them. aiohttp sends what a batch's body
composes from the claimed source (block digests checked, keys put in) as it goes; then
`curl --data-binary` sends a file of the same bytes to the same server, or above 1 GiB, which
curl refuses, `curl -T`. Rounds alternate; the best of each counts, with the CPU seconds of each
client. A probe notes how late the event loop was. The exit code is 1 when a ratio is below the
floor.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout

from benchmarks.collect_deliver import MEGABYTE, about, lag, lay_down
from orchestrator.domain.ids import InstallId
from orchestrator.domain.policy import Limits
from orchestrator.ports import PlanOrder, part_of
from orchestrator.spool.body import ComposedBody
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder

FLOOR = 0.7
CURL_DATA_BYTES_MAX = 1 << 30  # it takes no more with --data-binary, which reads all of it first
FOLDER = "set"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: seconds of wall clock and of the client's CPU, best of the rounds."""

    line_bytes: int
    megabytes: float
    curl_seconds: float
    curl_cpu_seconds: float
    seconds: float
    cpu_seconds: float
    compose_seconds: float
    ratio: float
    loop_lag_ms: float


class Forget(asyncio.Protocol):
    """An HTTP server that reads a body of known length and says that it is well."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self.transport = transport
        self.head = b""
        self.rest = -1

    def data_received(self, data: bytes) -> None:
        """Count what comes."""
        if self.rest < 0:
            self.head += data
            head, end, data = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            self.rest = int(fields[b"content-length"])
        self.rest -= len(data)
        if self.rest == 0:
            assert isinstance(self.transport, asyncio.WriteTransport)
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self.head, self.rest = b"", -1


async def serve() -> None:
    """Serve on a free port, which is printed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Forget, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def planned(root: Path, requests: int, line_bytes: int) -> ComposedBody:
    """Lay a set down and return the body of its one batch."""
    lay_down(root, requests, line_bytes)
    work = WorkFolder(root, InstallId("0" * 16), Inline())
    info = about(requests)
    order = PlanOrder(
        info.id, 1, [], Limits(inline_max_bytes=0, file_max_bytes=1 << 40,
        requests_per_batch_max=1 << 40), 1 << 40, 1 << 40, None, 0.25, "generate", "m", 1,
    )  # fmt: skip
    (plan,) = await work.plan(FOLDER, order)
    return work.body(FOLDER, part_of(info, 1, plan))


async def upload(url: str, body: ComposedBody) -> tuple[float, float, float]:
    """Upload once; returns seconds, CPU seconds and the worst lag of the loop in seconds."""
    lags: list[float] = []
    async with (
        ClientSession(timeout=ClientTimeout(total=None)) as session,
        asyncio.TaskGroup() as group,
    ):
        probe = group.create_task(lag(lags))
        start, cpu = time.perf_counter(), time.process_time()
        headers = {"content-length": str(body.size)}
        async with session.post(url, data=body.pieces(), headers=headers) as answer:
            assert answer.status == 200
        taken = time.perf_counter() - start, time.process_time() - cpu
        probe.cancel()
    return *taken, max(lags)


async def compose(body: ComposedBody, into: Path | None = None) -> float:
    """Compose all pieces, to a file if one is given; returns seconds of CPU."""
    start = time.process_time()
    if into is None:
        async for _ in body.pieces():
            pass
    else:
        with into.open("wb") as file:
            async for piece in body.pieces():
                file.write(piece)
    return time.process_time() - start


def curl(url: str, path: Path) -> tuple[float, float]:
    """Send a file once; returns seconds and CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    body = ["--data-binary", f"@{path}"]
    if path.stat().st_size > CURL_DATA_BYTES_MAX:
        body = ["-X", "POST", "-T", str(path)]  # read as it is sent
    command = ["curl", "-sS", "-H", "Expect:", *body, url]
    subprocess.run(command, check=True)
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(options: argparse.Namespace, url: str, line_bytes: int) -> Row:
    """Measure lines of one length."""
    curls, ours = [], []
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        root = Path(name)
        requests = max(options.megabytes * MEGABYTE // line_bytes, 1)
        body = asyncio.run(planned(root, requests, line_bytes))
        asyncio.run(compose(body, root / "ready"))
        composing = min(asyncio.run(compose(body)) for _ in range(options.rounds))
        for _ in range(options.rounds):
            curls.append(curl(url, root / "ready"))
            ours.append(asyncio.run(upload(url, body)))
    return Row(
        line_bytes=line_bytes,
        megabytes=body.size / MEGABYTE,
        curl_seconds=min(curls)[0],
        curl_cpu_seconds=min(curls)[1],
        seconds=min(ours)[0],
        cpu_seconds=min(ours)[1],
        compose_seconds=composing,
        ratio=min(curls)[0] / min(ours)[0],
        loop_lag_ms=1000 * max(one[2] for one in ours),
    )


def show(rows: Sequence[Row]) -> None:
    """Print a table."""
    print("line B       MB   curl s (CPU)     ours s (CPU)   compose CPU s  ratio  lag ms")
    for row in rows:
        print(
            f"{row.line_bytes:6} {row.megabytes:8.0f} {row.curl_seconds:8.2f} "
            f"({row.curl_cpu_seconds:.2f}) {row.seconds:10.2f} ({row.cpu_seconds:.2f}) "
            f"{row.compose_seconds:13.2f} {row.ratio:8.2f} {row.loop_lag_ms:7.1f}"
        )


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--lines", type=int, nargs="+", default=[250, 2000, 50_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default=None, help="where to work; a real disk, not a tmpfs")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compose_upload", "--serve"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
        rows = [measure(options, url, line_bytes) for line_bytes in options.lines]
    finally:
        server.terminate()
        server.wait()
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(any(row.ratio < FLOOR for row in rows))


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
