"""Who is told: the operator's command and webhook, as the port `Notifier`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Senders:
    """Hands each notice to whoever is configured; with nobody it is done at once."""

    command: tuple[str, ...]
    command_timeout: timedelta
    url: str | None
    secret: str | None
    told: Callable[[str, str], None]

    async def send(self, number: int, kind: str, body: str) -> None:
        """Hand over one notice. Raises Unavailable when it was not taken."""
