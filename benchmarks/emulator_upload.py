"""How fast the emulator takes an upload, against a bare aiohttp server in the same run.

    python benchmarks/emulator_upload.py [--megabytes 1000] [--rounds 5]

Both servers are processes of their own on this machine: `orchestrator emulator` as users start it,
which writes every byte to its state directory and answers with the file's SHA-256, and a bare
aiohttp server that speaks just enough of the protocol for a client to finish, and throws the bytes
away. The clients are those that users have: the official Python SDK (chunks of 8 MiB, each waiting
for its answer) and curl (the whole file in one call). Rounds alternate between the servers and the
best of each counts, for noise only ever adds time; processor time is each server's own, per GB.

What no server that hashes and keeps the bytes can pass is measured beside them: one core's SHA-256,
and all processors busy with what the client, the bare server, the hash and the disk cache take
together. The exit code is 1 when the SDK's upload to the emulator is slower than 0.7 of its upload
to the bare server, whatever the bound is.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

FLOOR = 0.7
MEGABYTE = 1_000_000
PIECE = bytes(range(256)) * 1024
LINE = b'{"key":"k","request":{"contents":[{"parts":[{"text":"%s"}]}]}}\n' % (b"x" * 400)
KEY = {"x-goog-api-key": "benchmark"}
SDK = """
import sys, time
from google import genai
client = genai.Client(api_key="benchmark", http_options={"base_url": sys.argv[1]})
began, before = time.perf_counter(), time.process_time()
client.files.upload(file=sys.argv[2], config={"mime_type": "application/jsonl"})
print(time.perf_counter() - began, time.process_time() - before)
"""


@dataclass(slots=True)
class Server:
    """One server under test: of each client its best seconds, and the seconds of processor per GB
    that the server and the client took.
    """

    name: str
    base: str
    pid: int
    best: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    client_cpu: dict[str, float] = field(default_factory=dict)

    def note(self, client: str, seconds: float, cpu: float, client_cpu: float) -> None:
        """Keep the best of every round."""
        for kept, value in ((self.best, seconds), (self.cpu, cpu), (self.client_cpu, client_cpu)):
            kept[client] = min(value, kept.get(client, value))


async def serve_bare(port: int) -> None:
    """Serve uploads by reading and forgetting them."""

    async def forget(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        command = request.headers.get("X-Goog-Upload-Command", "")
        if "finalize" in command:
            answer = web.json_response({"file": {"name": "files/bare"}})
            answer.headers["X-Goog-Upload-Status"] = "final"
            return answer
        url = f"http://{request.host}/upload/v1beta/files?upload_id=bare"
        return web.Response(headers={"X-Goog-Upload-Status": "active", "X-Goog-Upload-URL": url})

    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/{path:.*}", forget)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def with_sdk(base: str, file: Path) -> tuple[float, float]:
    """Upload with the official Python SDK; say its seconds and its processor's seconds, without
    those of its start.
    """
    command = [sys.executable, "-c", SDK, base, str(file)]
    seconds, cpu = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.split()
    return float(seconds), float(cpu)


def with_curl(base: str, file: Path) -> tuple[float, float]:
    """Upload the whole file in one call of curl; say its seconds and its processor's seconds."""
    size = file.stat().st_size
    headers = KEY | {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": str(size),
    }
    start = urllib.request.Request(f"{base}/upload/v1beta/files", b"{}", headers, method="POST")
    with urllib.request.urlopen(start) as started:
        url = started.headers["X-Goog-Upload-URL"]
    command = ["curl", "-sS", "-f", "-o", os.devnull, "-X", "POST", "-T", str(file)]
    command += ["-H", "X-Goog-Upload-Command: upload, finalize", "-H", "X-Goog-Upload-Offset: 0"]
    began, before = time.perf_counter(), os.times()
    subprocess.run([*command, url], check=True)
    took, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system
    return took, used - before.children_user - before.children_system


def forget_files(base: str) -> None:
    """Delete what was uploaded, so that no round waits for another's disk space."""
    for name in [file["name"] for file in _call("GET", f"{base}/v1beta/files").get("files", [])]:
        _call("DELETE", f"{base}/v1beta/{name}")


def _call(method: str, url: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, None, KEY, method=method)) as answer:
        return json.load(answer)


@contextmanager
def running(name: str, *command: str) -> Iterator[Server]:
    """Run a server; its first line of output bears its URL."""
    server = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\w.:]+", server.stdout.readline())
        assert found is not None, f"{name} did not start"
        yield Server(name, found.group(), server.pid)
    finally:
        server.terminate()
        server.wait()


def cpu_seconds(pid: int) -> float:
    """Read how much processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(servers: list[Server], file: Path, rounds: int) -> None:
    """Upload the file with every client to every server, in turn."""
    clients: dict[str, Callable[[str, Path], tuple[float, float]]] = {"SDK": with_sdk}
    if shutil.which("curl"):
        clients["curl"] = with_curl
    gigabytes = file.stat().st_size / MEGABYTE / 1000
    for _ in range(rounds):
        for client, upload in clients.items():
            for server in servers:
                before = cpu_seconds(server.pid)
                seconds, used = upload(server.base, file)
                served = cpu_seconds(server.pid) - before
                server.note(client, seconds, served / gigabytes, used / gigabytes)
                if server.name == "emulator":
                    forget_files(server.base)


def hash_speed() -> float:
    """Say how many MB/s one core hashes; an answer with a hash cannot come faster."""
    digest = hashlib.sha256()
    began = time.perf_counter()
    for _ in range(1000 * MEGABYTE // len(PIECE)):
        digest.update(PIECE)
    return 1000 / (time.perf_counter() - began)


def disk_speed(folder: Path) -> float:
    """Say how many MB/s the state directory's disk cache takes."""
    path = folder / "written"
    began = time.perf_counter()
    with path.open("wb", buffering=0) as out:
        for _ in range(1000 * MEGABYTE // len(PIECE)):
            out.write(PIECE)
    took = time.perf_counter() - began
    path.unlink()
    return 1000 / took


def main() -> int:
    """Run the servers, compare them, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        asyncio.run(serve_bare(0))
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), given.megabytes * MEGABYTE, given.rounds)


def compare(folder: Path, size: int, rounds: int) -> int:
    """Measure, print the table, and say by the exit code whether the floor is kept."""
    file = folder / "input.jsonl"
    with file.open("wb") as out:
        for _ in range(size // len(LINE)):
            out.write(LINE)
    size = file.stat().st_size
    emulator = ("-m", "orchestrator", "emulator", "-q", "--port", "0", "--state-dir")
    with (
        running("bare", __file__, "--bare") as bare,
        running("emulator", *emulator, str(folder / "state")) as emulated,
    ):
        measure([bare, emulated], file, rounds)
    hashed, written = hash_speed(), disk_speed(folder)
    print(f"{os.cpu_count()} processors, {size / MEGABYTE:.0f} MB, best of {rounds}")
    print(f"one core hashes {hashed:.0f} MB/s; the disk cache takes {written:.0f} MB/s")
    print("client         bare    emulator      bound  to bare  to bound  server s/GB  client s/GB")
    ratios = {}
    for client, seconds in bare.best.items():
        ratios[client] = seconds / emulated.best[client]
        work = bare.cpu[client] + bare.client_cpu[client] + 1000 / hashed + 1000 / written
        bound = min(hashed, 1000 * (os.cpu_count() or 1) / work)
        speeds = [size / MEGABYTE / server.best[client] for server in (bare, emulated)]
        print(
            f"{client:6} {speeds[0]:5.0f} MB/s  {speeds[1]:5.0f} MB/s {bound:5.0f} MB/s "
            f"{ratios[client]:8.2f} {speeds[1] / bound:9.2f} "
            f"  {bare.cpu[client]:.2f}, {emulated.cpu[client]:.2f}   {bare.client_cpu[client]:.2f}"
        )
    kept = ratios["SDK"] >= FLOOR
    print(f"the floor of {FLOOR} to bare is {'kept' if kept else 'NOT kept'} with the SDK")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
