"""Where the URL of a resumable upload is journaled: a capability, so readable by us alone."""

from concurrent.futures import Executor
from pathlib import Path

from orchestrator.spool import atomic
from orchestrator.spool.pool import call

SECRET_MODE = 0o600


class SessionFile:
    """Implements `ports.Session` on a file of its own."""

    def __init__(self, path: Path, workers: Executor) -> None:
        self._path = path
        self._workers = workers

    def load(self) -> str | None:
        """Return the journaled URL, None if there is none."""
        try:
            return self._path.read_text("utf-8") or None
        except FileNotFoundError:
            return None

    async def save(self, url: str) -> None:
        """Journal the URL, durably."""
        await call(self._workers, _write, self._path, url)

    def forget(self) -> None:
        """Take the URL away: it is used up or refused.

        One that a power cut brings back is found to be used up by the server's answer.
        """
        atomic.unlink(self._path, missing_ok=True)


def _write(path: Path, url: str) -> None:
    atomic.mkdir(path.parent, exist_ok=True)
    atomic.write_file(path, url.encode(), SECRET_MODE)
