"""The emulator in a thread of the test: met over a socket all the same, and there at once."""

import asyncio
import json
import threading
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.emulator import Emulator, EmulatorSettings, serving
from tests.crash.real import RealEmulator

SPEED = 40.0
PATIENCE_SECONDS = 60.0


class NearEmulator:
    """Listens on a port of this machine until it is stopped; its books stay in its folder."""

    def __init__(self, folder: Path, speed: float = SPEED) -> None:
        self.folder = folder
        self.port = 0
        self._settings = EmulatorSettings(speed=speed, hash_in_thread=True)
        self._listens = threading.Event()
        self._stopped: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="emulator")
        self._thread.start()
        assert self._listens.wait(PATIENCE_SECONDS), "the emulator does not listen"
        assert self.port, "the emulator ended in its start"

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        provider = Emulator(self._settings, clock=lambda: datetime.now(UTC), state_dir=self.folder)
        try:
            async with serving.listening(provider, deliver=True) as where:
                self.port = int(where.rpartition(":")[2])
                self._listens.set()
                await self._stopped.wait()
        finally:
            self._listens.set()
            provider.close()

    def stop(self) -> None:
        """End it; a second time is no matter."""
        if self._thread.is_alive():
            assert self._loop is not None
            assert self._stopped is not None
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE_SECONDS)


class Door:
    """The emulator's admin door, and what is behind it."""

    emulator: NearEmulator | RealEmulator

    def admin(self, path: str, body: object = None, method: str | None = None) -> Any:
        """Call the emulator's admin door."""
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.emulator.port}/__emulator__/{path}"
        request = urllib.request.Request(url, data, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def behave(self, *faults: Mapping[str, Any]) -> None:
        """Let the emulator have these faults, and no others."""
        self.admin("faults", method="DELETE")
        if faults:
            self.admin("faults", [dict(fault) for fault in faults])

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """All jobs that were ever made."""
        found: list[dict[str, Any]] = self.admin("jobs")["jobs"]
        return found

    @property
    def paid(self) -> dict[str, int]:
        """The books: distinct, accepted, executed, accepted_again, executed_again."""
        requests: dict[str, int] = self.admin("ledger")["requests"]
        return requests
