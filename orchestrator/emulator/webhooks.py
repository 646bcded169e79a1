"""Webhooks as a registry: made, listed, changed, pinged, their secrets rotated. What they are told
is `deliveries.py`'s.
"""

import base64
from typing import Any

import msgspec

from orchestrator.emulator.clock import EmulatorClock
from orchestrator.emulator.dice import Dice
from orchestrator.emulator.journal import Journal
from orchestrator.emulator.refusals import entity_not_found, invalid


class Webhook(msgspec.Struct, kw_only=True):
    """One webhook, with the secrets that sign its deliveries."""

    id: str
    project: str
    uri: str
    events: list[str]
    created: int
    updated: int
    name: str | None = None
    state: str = "enabled"
    secrets: list[str] = []
    deleted: bool = False


class Webhooks:
    """All webhooks of all projects."""

    def __init__(self, clock: EmulatorClock, journal: Journal, dice: Dice) -> None:
        self._clock = clock
        self._journal = journal
        self._dice = dice
        self.webhooks = {
            id_: msgspec.json.decode(raw, type=Webhook) for id_, raw in journal.records("webhook")
        }

    def create(self, project: str, body: dict[str, Any], wanted_id: str | None) -> Webhook:
        """Make a webhook; the id may be the caller's."""
        number = len(self.webhooks) + 1
        id_ = wanted_id or self._dice.letters(20, "webhook", number)
        if id_ in self.webhooks:
            raise invalid(f"The webhook {id_} already exists.")
        uri, events = body.get("uri"), body.get("subscribed_events")
        if not isinstance(uri, str) or not isinstance(events, list) or not events:
            raise invalid("uri and subscribed_events are required.")
        now = self._clock.wall()
        made = Webhook(
            id=id_,
            project=project,
            uri=uri,
            events=[str(event) for event in events],
            created=now,
            updated=now,
            name=body.get("name"),
            secrets=[self.secret(id_, 1)],
        )
        self.keep(made)
        return made

    def get(self, project: str, id_: str) -> Webhook:
        """Find a project's webhook."""
        found = self.webhooks.get(id_)
        if found is None or found.project != project or found.deleted:
            raise entity_not_found()
        return found

    def list(self, project: str) -> list[Webhook]:
        """List a project's webhooks."""
        mine = [hook for hook in self.webhooks.values() if hook.project == project]
        return [hook for hook in mine if not hook.deleted]

    def keep(self, webhook: Webhook) -> None:
        """Record a webhook as it is now."""
        self.webhooks[webhook.id] = webhook
        self._journal.write("webhook", webhook.id, webhook)

    def touch(self, webhook: Webhook) -> None:
        """Record a change."""
        webhook.updated = self._clock.wall()
        self.keep(webhook)

    def secret(self, id_: str, number: int) -> str:
        """Draw a signing secret."""
        drawn = b"".join(
            self._dice.number("secret", id_, number, part).to_bytes(8, "big") for part in range(4)
        )
        return f"whsec_{base64.b64encode(drawn).decode()}"
