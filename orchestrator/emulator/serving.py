"""Puts an emulator on a TCP port or a Unix socket for as long as a block runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

from aiohttp import web

from orchestrator.emulator.posting import posting
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.server import Log, create_app

READ_BYTES = 1 << 18


@asynccontextmanager
async def listening(
    emulator: Emulator,
    host: str = "127.0.0.1",
    port: int = 0,
    unix: Path | None = None,
    *,
    log: Log | None = None,
    deliver: bool = False,
) -> AsyncIterator[str]:
    """Listen, and yield the base URL (or the socket's path); with `deliver`, tell webhooks what
    happens.
    """
    app = create_app(emulator, log=log)
    runner = web.AppRunner(app, access_log=None, read_bufsize=READ_BYTES, shutdown_timeout=1.0)
    await runner.setup()
    try:
        where = await _bound(runner, host, port, unix)
        async with posting(emulator) if deliver else nullcontext():
            yield where
    finally:
        await runner.cleanup()
        if unix is not None:
            unix.unlink(missing_ok=True)  # noqa: ASYNC240 - one call, when all is over


async def _bound(runner: web.AppRunner, host: str, port: int, unix: Path | None) -> str:
    if unix is not None:
        await web.UnixSite(runner, unix).start()
        return str(unix)
    await web.TCPSite(runner, host, port).start()
    shown, bound = runner.addresses[0][:2]
    return f"http://[{shown}]:{bound}" if ":" in shown else f"http://{shown}:{bound}"
