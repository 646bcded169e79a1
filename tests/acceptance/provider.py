"""The emulator in a thread of the test: met over a socket all the same, and there at once."""

import asyncio
import threading
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.emulator import Emulator, EmulatorSettings, serving

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
