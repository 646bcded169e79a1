"""Who is told: the operator's command and webhook, as the port `Notifier`."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.ports import Clock, Unavailable
from orchestrator.status.notify import (
    Message,
    NotDelivered,
    Webhook,
    run_command,
    send_webhook,
)

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


def environment() -> dict[str, str]:
    """Return what a command may see of our environment: never the key."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


@dataclass(frozen=True, slots=True)
class Senders:
    """Hands each notice to whoever is configured; with nobody it is done at once.

    `told` counts what became of it: channel and result.
    """

    command: tuple[str, ...]
    command_timeout: timedelta
    webhook: Webhook | None
    clock: Clock
    told: Callable[[str, str], None]

    async def send(self, number: int, kind: str, body: str) -> None:
        """Hand over one notice. Raises Unavailable when somebody did not take it.

        It is then sent again to all: each may get it twice, with the same id.
        """
        message = Message(f"notice-{number}", body.encode())
        if self.command:
            seconds = self.command_timeout.total_seconds()
            await self._try("command", run_command(self.command, message, environment(), seconds))
        if self.webhook is not None:
            await self._try("webhook", send_webhook(self.webhook, message, self.clock.now()))

    async def _try(self, channel: str, sending: Awaitable[None]) -> None:
        try:
            await sending
        except NotDelivered as error:
            self.told(channel, "failed")
            raise Unavailable(f"{channel}: {error}") from error
        self.told(channel, "sent")
