"""Where everything of a house is."""

from pathlib import Path

from orchestrator.status.client import Client


class Places:
    """A root with the state directory and the socket in it."""

    root: Path
    state: Path

    @property
    def inbox(self) -> Path:
        """Where users drop."""
        return self.state / "inbox"

    @property
    def outbox(self) -> Path:
        """Where readers look."""
        return self.state / "outbox"

    @property
    def work(self) -> Path:
        """The daemon's own."""
        return self.state / "work"

    @property
    def client(self) -> Client:
        """The status socket, as the commands use it."""
        return Client(self.root / "socket")
