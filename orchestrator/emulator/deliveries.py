"""What webhooks are told: one event for each end of a job, to the addresses that the job named, or
else to the webhooks that its project registered for it.

A delivery is written down before it is sent and sent until it is taken (2xx), at least once, ever
more rarely, for a day; then a registered webhook is disabled. Sending is `posting.py`'s.
"""

from typing import Any
from urllib.parse import urlsplit

import msgspec

from orchestrator.emulator.clock import NS, EmulatorClock, stamp
from orchestrator.emulator.dice import Dice
from orchestrator.emulator.job import CANCELLED, EXPIRED, FAILED, SUCCEEDED, Job
from orchestrator.emulator.journal import Journal
from orchestrator.emulator.settings import EmulatorSettings
from orchestrator.emulator.signing import hmac_signature, rsa_key
from orchestrator.emulator.webhooks import Webhooks

EVENTS = {
    SUCCEEDED: "batch.succeeded",
    FAILED: "batch.failed",
    CANCELLED: "batch.cancelled",
    EXPIRED: "batch.expired",
}
GIVE_UP_SECONDS = 24 * 3600
FIRST_WAIT_SECONDS = 1.0
WAIT_SECONDS_MAX = 3600.0
DISABLED = "disabled_due_to_failed_deliveries"


class Delivery(msgspec.Struct, kw_only=True):
    """One event for one address. `webhook` is the registered one, None for a job's own address;
    `status` is what the address answered last, 0 for no answer.
    """

    id: str
    project: str
    uri: str
    event: dict[str, Any]
    created: int
    due: int
    webhook: str | None = None
    attempts: int = 0
    status: int | None = None
    state: str = "waiting"


class Deliveries:
    """All deliveries of all projects."""

    def __init__(
        self,
        settings: EmulatorSettings,
        clock: EmulatorClock,
        journal: Journal,
        dice: Dice,
        webhooks: Webhooks,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._dice = dice
        self._webhooks = webhooks
        self.deliveries = {
            id_: msgspec.json.decode(raw, type=Delivery) for id_, raw in journal.records("delivery")
        }

    def announce(self, job: Job) -> None:
        """Write down whom the end of a job has to be told."""
        event = event_of(job)
        if event is None:
            return
        addresses: list[tuple[str, str | None]] = [(uri, None) for uri in job.uris]
        if not addresses:
            addresses = [
                (hook.uri, hook.id)
                for hook in self._webhooks.list(job.project)
                if hook.state == "enabled" and event["type"] in hook.events
            ]
        for uri, webhook in addresses:
            number = len(self.deliveries) + 1
            self._keep(
                Delivery(
                    id=f"msg_{self._dice.letters(24, 'delivery', number)}",
                    project=job.project,
                    uri=uri,
                    event=event,
                    created=self._clock.wall(),
                    due=self._clock.wall(),
                    webhook=webhook,
                    state="waiting" if self._may_go_to(uri) else "held",
                )
            )

    def due(self) -> list[Delivery]:
        """List what has to be sent now."""
        now = self._clock.wall()
        return [d for d in self.deliveries.values() if d.state == "waiting" and d.due <= now]

    def headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        """Write the Standard Webhooks headers of an attempt that is made now."""
        timestamp = self._clock.wall() // NS
        return {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signature(delivery, timestamp, body),
        }

    def note(self, delivery: Delivery, status: int) -> None:
        """Record what an address answered (0: nothing), and when to try again."""
        now = self._clock.wall()
        delivery.attempts += 1
        delivery.status = status
        if 200 <= status < 300:
            delivery.state = "delivered"
        elif now - delivery.created >= GIVE_UP_SECONDS * NS:
            delivery.state = "given up"
            self._disable(delivery)
        else:
            wait = min(FIRST_WAIT_SECONDS * 2 ** (delivery.attempts - 1), WAIT_SECONDS_MAX)
            delivery.due = now + round(wait * NS)
        self._keep(delivery)

    def _signature(self, delivery: Delivery, timestamp: int, body: bytes) -> str:
        if delivery.webhook is None:
            claims = delivery.event | {
                "iss": "https://generativelanguage.googleapis.com",
                "aud": delivery.project,
                "iat": timestamp,
                "exp": timestamp + 300,
                "jti": delivery.id,
            }
            return rsa_key(self._settings.seed).jwt(claims)
        secrets = self._webhooks.webhooks[delivery.webhook].secrets
        return " ".join(hmac_signature(s, delivery.id, timestamp, body) for s in secrets)

    def _may_go_to(self, uri: str) -> bool:
        match self._settings.webhook_delivery:
            case "anywhere":
                return True
            case "loopback":
                host = urlsplit(uri).hostname or ""
                return host in {"localhost", "::1"} or host.startswith("127.")
            case "nowhere":
                return False

    def _disable(self, delivery: Delivery) -> None:
        webhook = self._webhooks.webhooks.get(delivery.webhook or "")
        if webhook is not None:
            webhook.state = DISABLED
            self._webhooks.touch(webhook)

    def _keep(self, delivery: Delivery) -> None:
        self.deliveries[delivery.id] = delivery
        self._journal.write("delivery", delivery.id, delivery)


def event_of(job: Job) -> dict[str, Any] | None:
    """Write the event of a job's end: thin, the results are fetched elsewhere."""
    type_ = EVENTS.get(job.state)
    if type_ is None or job.ended is None:
        return None
    data: dict[str, Any] = {"id": f"batches/{job.id}"}
    if type_ == "batch.succeeded" and job.input_file is not None:
        data["output_file_uri"] = f"files/batch-{job.id}"
    if type_ == "batch.failed":
        data |= {"error_code": str(job.code), "error_message": job.message or ""}
    if job.user_metadata:
        data["user_metadata"] = job.user_metadata
    timestamp = f"{stamp(job.ended)[:19]}Z"
    return {"type": type_, "version": "v1", "timestamp": timestamp, "data": data}
