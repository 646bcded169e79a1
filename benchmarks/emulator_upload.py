"""How fast the emulator takes an upload, against a bare aiohttp server in the same run.

    python benchmarks/emulator_upload.py [--megabytes 1024] [--rounds 5]

Both servers are processes of their own and are fed by the same client with the same 256 KiB pieces
over loopback. The bare server throws the bytes away; the emulator writes them to its state
directory and hashes them, for its answer has the file's SHA-256. No server that does so can be
faster than one core hashes, so that speed is measured too: the bound is the slower of it and the
bare server. Rounds alternate, the best of each counts, and the exit code is 1 when the emulator is
below 0.7 of the bound.
"""

import argparse
import asyncio
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, web

FLOOR = 0.7
PIECE = bytes(range(256)) * 1024
MEGABYTE = 1_000_000


async def bare(port: int) -> None:
    """Serve uploads by reading and forgetting them."""

    async def forget(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        return web.json_response({"file": {}}, headers={"X-Goog-Upload-Status": "final"})

    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/{path:.*}", forget)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def emulated(port: int, folder: Path) -> None:
    """Serve the emulator as its command does."""
    from orchestrator.emulator import (  # noqa: PLC0415 - the bare server does without
        Emulator,
        EmulatorSettings,
    )
    from orchestrator.emulator.serving import listening  # noqa: PLC0415

    settings = EmulatorSettings(hash_in_thread=True)
    emulator = Emulator(settings, clock=lambda: datetime.now(UTC), state_dir=folder / "state")
    async with listening(emulator, "127.0.0.1", port):
        print("ready", flush=True)
        await asyncio.Event().wait()


async def upload(session: ClientSession, base: str, size: int) -> float:
    """Upload `size` bytes in one call and say how many seconds it took."""
    headers = {
        "x-goog-api-key": "benchmark",
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": str(size),
    }
    async with session.post(f"{base}/upload/v1beta/files", headers=headers, json={}) as started:
        url = started.headers.get("X-Goog-Upload-URL", f"{base}/upload")
    headers = {
        "X-Goog-Upload-Command": "upload, finalize",
        "X-Goog-Upload-Offset": "0",
        "Content-Length": str(size),
    }
    began = time.perf_counter()
    async with session.post(url, headers=headers, data=_pieces(size)) as done:
        answer = await done.json()
    took = time.perf_counter() - began
    if name := answer["file"].get("name"):
        headers = {"x-goog-api-key": "benchmark"}
        async with session.delete(f"{base}/v1beta/{name}", headers=headers) as deleted:
            deleted.raise_for_status()
    return took


async def _pieces(size: int) -> AsyncIterator[bytes]:
    left = size
    while left > 0:
        piece = PIECE if left >= len(PIECE) else PIECE[:left]
        left -= len(piece)
        yield piece


async def compare(size: int, rounds: int, ports: dict[str, int]) -> dict[str, float]:
    """Time both servers in turn; the best round of each, in seconds."""
    best = dict.fromkeys(ports, float("inf"))
    async with ClientSession(timeout=ClientTimeout(total=None)) as session:
        for _ in range(rounds):
            for name, port in ports.items():
                took = await upload(session, f"http://127.0.0.1:{port}", size)
                best[name] = min(best[name], took)
    return best


def main() -> int:
    """Run the servers, compare them, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=("bare", "emulator"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve == "bare":
        asyncio.run(bare(given.port))
    if given.serve == "emulator":
        asyncio.run(emulated(given.port, given.folder))
    with tempfile.TemporaryDirectory() as folder:
        return _measure(given.megabytes * MEGABYTE, given.rounds, folder)


def _measure(size: int, rounds: int, folder: str) -> int:
    ports = {"bare": 18971, "emulator": 18972}
    servers = [_start(name, port, folder) for name, port in ports.items()]
    try:
        best = asyncio.run(compare(size, rounds, ports))
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    speeds = {name: size / seconds / MEGABYTE for name, seconds in best.items()}
    speeds["SHA-256"] = _hash_speed(rounds)
    bound = min(speeds["bare"], speeds["SHA-256"])
    for name, speed in speeds.items():
        print(f"{name:>9}: {speed:7.0f} MB/s")
    print(f" to bare:  {speeds['emulator'] / speeds['bare']:7.2f}")
    print(f" to bound: {speeds['emulator'] / bound:7.2f} (floor {FLOOR})")
    return 0 if speeds["emulator"] >= FLOOR * bound else 1


def _hash_speed(rounds: int) -> float:
    """Say how fast one core hashes in this run; no upload that answers with a hash is faster."""
    best = float("inf")
    for _ in range(rounds):
        digest = hashlib.sha256()
        began = time.perf_counter()
        for _ in range(256 * MEGABYTE // len(PIECE)):
            digest.update(PIECE)
        best = min(best, time.perf_counter() - began)
    return 256 / best


def _start(name: str, port: int, folder: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--serve", name, "--port", str(port), "--folder", folder]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    return server


if __name__ == "__main__":
    sys.exit(main())
