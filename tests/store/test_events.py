"""History: in order, resumable, by set."""

from orchestrator.store import events
from orchestrator.store.database import InlineDatabase
from orchestrator.store.events import Event
from tests.store.values import NOW, planned, receive, set_info, start


async def test_events_come_in_order_and_can_be_resumed(ledger: InlineDatabase) -> None:
    """Reading on after the last seen id misses nothing and repeats nothing."""
    await ledger.transact(start, set_info(), planned(1), planned(2))
    whole = await ledger.read(events.after, 0, 100)

    first = await ledger.read(events.after, 0, 3)
    rest = await ledger.read(events.after, first[-1].id, 100)

    assert first + rest == whole
    assert [(event.source, event.target) for event in whole] == [
        ("", "received"),
        ("received", "indexed"),
        ("indexed", "running"),
        ("", "planned"),
        ("", "planned"),
    ]
    assert await ledger.read(events.last_id) == whole[-1].id


async def test_events_of_one_set_are_told_apart(ledger: InlineDatabase) -> None:
    """A reader who asks for one set sees only that."""
    await ledger.transact(receive, set_info("one"))
    await ledger.transact(receive, set_info("two"))

    found = await ledger.read(events.after, 0, 100, set_info("two").id)

    assert found == [Event(2, NOW, set_info("two").id, None, "", "received", "")]


async def test_an_empty_history_ends_at_zero(ledger: InlineDatabase) -> None:
    """Nothing has happened yet."""
    assert await ledger.read(events.last_id) == 0
    assert await ledger.read(events.after, 0, 10) == []
