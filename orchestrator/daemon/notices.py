"""Who is told: the operator's command and webhook, as the port `Notifier`."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
TROUBLE = "notices"  # the kind of the condition while a channel takes nothing
REMEMBERED_MAX = 10_000  # notices that some took and others not; what is forgotten comes twice
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


def environment() -> dict[str, str]:
    """Return what a command may see of our environment: never the key."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


@dataclass(frozen=True, slots=True)
class Senders:
    """Hands each notice to whoever is configured; with nobody it is done at once.

    `told` counts what became of it: channel and result. `troubled` shows which channel does not
    take what it is told, and why; None: it does again.
    """

    command: tuple[str, ...]
    command_timeout: timedelta
    webhook: Webhook | None
    clock: Clock
    told: Callable[[str, str], None] = lambda _channel, _result: None
    troubled: Callable[[str, str, str | None], None] = lambda _kind, _subject, _why: None
    _taken: dict[int, set[str]] = field(default_factory=dict)

    async def send(self, number: int, kind: str, body: str) -> None:
        """Hand over one notice to all at once. Raises Unavailable when somebody did not take it.

        When it is sent again, then to those who have not taken it. That is remembered for one
        life of the daemon: after a restart a notice may come twice, with the same id.
        """
        message = Message(f"notice-{number}", body.encode())
        taken = self._taken.get(number, set())
        failed: dict[str, str] = {}

        async def attempt(channel: str, sending: Awaitable[None]) -> None:
            try:
                await sending
            except NotDelivered as error:
                failed[channel] = str(error)
            else:
                taken.add(channel)

        channels = {each: way for each, way in self._channels(message) if each not in taken}
        try:
            async with asyncio.TaskGroup() as group:
                for channel, way in channels.items():
                    group.create_task(attempt(channel, way()))
        except ExceptionGroup as several:  # the stage knows what to do about each by itself
            raise several.exceptions[0] from several
        about = {"notice": message.id, "set": json.loads(body).get("set"), "kind": kind}
        for channel in channels:
            self._tell(channel, failed.get(channel), about)
        self._taken.pop(number, None)
        if failed:
            self._remember(number, taken)
            raise Unavailable(
                "; ".join(f"{one}: {failed[one]}" for one in channels if one in failed)
            )

    def _channels(self, message: Message) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        if self.command:
            seconds = self.command_timeout.total_seconds()
            yield "command", lambda: run_command(self.command, message, environment(), seconds)
        hook = self.webhook
        if hook is not None:
            yield "webhook", lambda: send_webhook(hook, message, self.clock.now())

    def _tell(self, channel: str, why: str | None, about: Mapping[str, str | None]) -> None:
        """Log, count and show what became of a notice; one that fails keeps nothing from others."""
        self.troubled(TROUBLE, channel, why)
        if why is None:
            self.told(channel, "sent")
            log.info("notice.sent", to=channel, **about)
        else:
            self.told(channel, "failed")
            log.warning("notice.failed", to=channel, why=why, **about)

    def _remember(self, number: int, taken: set[str]) -> None:
        self._taken[number] = taken
        while len(self._taken) > REMEMBERED_MAX:
            del self._taken[next(iter(self._taken))]
