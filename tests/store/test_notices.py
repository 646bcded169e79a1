"""Notifications: sent at least once, tried again later."""

from datetime import timedelta

from orchestrator.store import notices
from orchestrator.store.database import InlineDatabase
from orchestrator.store.notices import Notice
from tests.store.values import NOW, set_info

LATER = NOW + timedelta(minutes=5)


async def test_a_notice_is_due_until_it_is_done(ledger: InlineDatabase) -> None:
    """It stays due over any number of looks, and is gone once it was sent."""
    number = await ledger.transact(notices.enqueue, NOW, "delivered", set_info().id, '{"a": 1}')
    expected = Notice(number, NOW, "delivered", set_info().id, '{"a": 1}', NOW, 0, None)

    assert await ledger.read(notices.due, NOW, 10) == [expected]
    assert await ledger.read(notices.due, NOW, 10) == [expected]
    await ledger.transact(notices.done, number, NOW)

    assert await ledger.read(notices.due, LATER, 10) == []


async def test_a_failed_notice_waits_for_its_time(ledger: InlineDatabase) -> None:
    """The error and the number of tries are kept, and others go first meanwhile."""
    first = await ledger.transact(notices.enqueue, NOW, "held", None, "{}")
    await ledger.transact(notices.postpone, first, LATER, "connection refused")
    second = await ledger.transact(notices.enqueue, NOW, "blocked", None, "{}")

    assert [notice.id for notice in await ledger.read(notices.due, NOW, 10)] == [second]
    found = await ledger.read(notices.due, LATER, 10)
    assert [(notice.id, notice.tries, notice.error) for notice in found] == [
        (second, 0, None),
        (first, 1, "connection refused"),
    ]
    assert len(await ledger.read(notices.due, LATER, 1)) == 1


async def test_what_was_sent_is_not_postponed(ledger: InlineDatabase) -> None:
    """A late failure does not bring a done notice back."""
    number = await ledger.transact(notices.enqueue, NOW, "held", None, "{}")
    await ledger.transact(notices.done, number, NOW)

    await ledger.transact(notices.postpone, number, NOW, "late")

    assert await ledger.read(notices.due, LATER, 10) == []


async def test_only_what_was_sent_is_forgotten(ledger: InlineDatabase) -> None:
    """Pruning leaves alone what is still to be sent."""
    sent = await ledger.transact(notices.enqueue, NOW, "held", None, "{}")
    await ledger.transact(notices.done, sent, NOW)
    waiting = await ledger.transact(notices.enqueue, NOW, "held", None, "{}")

    assert await ledger.transact(notices.prune, LATER) == 1
    assert [notice.id for notice in await ledger.read(notices.due, LATER, 10)] == [waiting]
