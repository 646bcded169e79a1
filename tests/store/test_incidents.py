"""Incidents: booked in order."""

from orchestrator.domain.ids import IdempotencyKey
from orchestrator.store import incidents
from orchestrator.store.database import InlineDatabase
from orchestrator.store.incidents import Incident
from tests.store.values import NOW


async def test_incidents_are_kept_in_order(ledger: InlineDatabase) -> None:
    """Each with its token, its requests and what it may have cost."""
    token = IdempotencyKey("t")
    await ledger.transact(incidents.book, NOW, "twin", token, "cancelled batches/2", 10, 1_500)
    await ledger.transact(incidents.book, NOW, "stray", None, "batches/9", 0, 0)

    assert await ledger.read(incidents.all) == [
        Incident(1, NOW, "twin", token, "cancelled batches/2", 10, 1_500),
        Incident(2, NOW, "stray", None, "batches/9", 0, 0),
    ]
