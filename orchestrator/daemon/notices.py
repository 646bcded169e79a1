"""Who is told: the operator's command and webhook, as the port `Notifier`."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from orchestrator.ports import Clock, Unavailable
from orchestrator.status.notify import (
    Message,
    NotDelivered,
    Webhook,
    run_command,
    send_webhook,
)

log = structlog.get_logger()
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
        failed: list[str] = []
        if self.command:
            seconds = self.command_timeout.total_seconds()
            ran = run_command(self.command, message, environment(), seconds)
            failed += await self._try("command", kind, ran)
        if self.webhook is not None:
            sent = send_webhook(self.webhook, message, self.clock.now())
            failed += await self._try("webhook", kind, sent)
        if failed:
            raise Unavailable("; ".join(failed))

    async def _try(self, channel: str, kind: str, sending: Awaitable[None]) -> list[str]:
        """Return what went wrong; one that fails keeps nothing from the other."""
        try:
            await sending
        except NotDelivered as error:
            self.told(channel, "failed")
            log.warning("notice.failed", kind=kind, to=channel, why=str(error))
            return [f"{channel}: {error}"]
        self.told(channel, "sent")
        log.info("notice.sent", kind=kind, to=channel)
        return []
