"""Batches: registered together, found in the order of their turn."""

import pytest
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.batches import Usage, drop
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.store import batches, events, projects
from orchestrator.store.batches import Count, Spent
from orchestrator.store.database import InlineDatabase
from orchestrator.store.transitions import apply
from tests.store.values import DEFAULT, NOW, collect_all, planned, set_info, start

INFO = set_info()


async def test_a_plan_is_registered_whole(ledger: InlineDatabase) -> None:
    """Every batch gets its row and its birth on record, also more than one statement takes."""
    info = set_info(requests=20_000)
    many = [planned(serial, of=info) for serial in range(1, 1_203)]

    await ledger.transact(start, info, *many)

    assert await ledger.read(batches.of_set, info.id) == many
    born = [event for event in await ledger.read(events.after, 0, 9_999) if event.token]
    assert [event.token for event in born] == [batch.part.token for batch in many]
    assert {(event.source, event.target) for event in born} == {("", "planned")}


async def test_a_plan_is_registered_all_or_nothing(ledger: InlineDatabase) -> None:
    """One overlapping part undoes its whole plan."""
    await ledger.transact(start, INFO, planned(1))

    with pytest.raises(IntegrityError, match="overlaps a live batch"):
        await ledger.transact(batches.insert, NOW, planned(2), planned(3, lo=5, hi=15))

    assert await ledger.read(batches.of_set, INFO.id) == [planned(1)]


async def test_what_a_lapsed_batch_held_can_be_planned_again(ledger: InlineDatabase) -> None:
    """The next generation takes the same ordinals once nobody may answer them any more."""
    await ledger.transact(start, INFO, planned())
    await ledger.transact(apply, NOW, drop(planned(), NOW, "planned anew"))
    again = planned(1, serial=2, generation=2, token="orc1-again")

    await ledger.transact(batches.insert, NOW, again)

    assert await ledger.read(batches.get, again.part.token) == again


async def test_no_plan_is_no_work(ledger: InlineDatabase) -> None:
    """Registering nothing does nothing."""
    await ledger.transact(batches.insert, NOW)

    assert await ledger.read(batches.live) == []
    assert await ledger.read(batches.get, IdempotencyKey("none")) is None


async def test_batches_take_their_turn_by_set(ledger: InlineDatabase) -> None:
    """Those of the most urgent set come first, each set in the order of its serials."""
    urgent = set_info("urgent", priority=5)
    await ledger.transact(start, INFO, planned(2), planned(1))
    await ledger.transact(start, urgent, planned(1, of=urgent))

    expected = [planned(1, of=urgent), planned(1), planned(2)]
    assert await ledger.read(batches.in_state, "planned", "uploaded") == expected
    assert await ledger.read(batches.live) == expected
    assert await ledger.read(batches.in_state, "ended") == []


async def test_tokens_tell_states(ledger: InlineDatabase) -> None:
    """All tokens, or those of one set, with what became of their batches."""
    other = set_info("other")
    await ledger.transact(start, INFO, planned())
    await ledger.transact(start, other, planned(of=other))
    await ledger.transact(apply, NOW, drop(planned(), NOW, "cancelled"))
    mine, theirs = planned().part.token, planned(of=other).part.token

    assert await ledger.read(batches.tokens, INFO.id) == {mine: "lapsed"}
    assert await ledger.read(batches.tokens, None) == {mine: "lapsed", theirs: "planned"}


async def test_counts_are_by_project_model_and_state(ledger: InlineDatabase) -> None:
    """Sums for the gauges: batches, requests, bytes and tokens."""
    await ledger.transact(start, INFO, planned(1), planned(2), planned(3))
    await ledger.transact(apply, NOW, drop(planned(3), NOW, "cancelled"))

    assert await ledger.read(batches.counts) == [
        Count(DEFAULT, INFO.model, "lapsed", 1, 10, 2_500, 600),
        Count(DEFAULT, INFO.model, "planned", 2, 20, 5_000, 1_200),
    ]


async def test_usage_is_summed_by_generation(ledger: InlineDatabase) -> None:
    """What the answers of a set used and cost, unknown while no price was known."""
    await ledger.transact(start, INFO, planned(1), planned(2), planned(3))
    await ledger.transact(collect_all, planned(1), planned(2))
    usage = Usage(1_200, 0, 1_800, 20)

    assert await ledger.read(batches.usage_of_set, INFO.id) == [Spent(INFO.model, 1, usage, None)]
    await ledger.transact(projects.charge, planned(1).part.token, 250)
    assert await ledger.read(batches.usage_of_set, INFO.id) == [Spent(INFO.model, 1, usage, 250)]
