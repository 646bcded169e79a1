"""Moves: guarded, on record, one winner."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from orchestrator.domain import batches as machine
from orchestrator.domain.batches import BATCH_EDGES, Lapsed, LapseReason, Submitting
from orchestrator.domain.ids import FileName, JobName
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.moves import Move
from orchestrator.domain.request_sets import SET_EDGES, Flags, Received, index
from orchestrator.store import batches, events, request_sets
from orchestrator.store.codecs import batch_row, flags_row, set_row
from orchestrator.store.database import Database, InlineDatabase
from orchestrator.store.errors import StaleTransition
from orchestrator.store.tables import (
    batches as batch_table,
    request_sets as set_table,
)
from orchestrator.store.transitions import apply
from tests.store.values import (
    ACCOUNT,
    NOW,
    batches_in_every_state,
    path_to_collected,
    planned,
    receive,
    set_info,
    sets_in_every_state,
    start,
)

LATER = NOW + timedelta(minutes=5)


def by_state(values):
    return {value.state: value for value in values}


@pytest.mark.parametrize(("source", "target"), sorted(BATCH_EDGES))
async def test_every_edge_of_a_batch_can_be_gone(
    ledger: InlineDatabase, source: str, target: str
) -> None:
    """A legal move changes the row to exactly its `after` and is put on record."""
    states = by_state(batches_in_every_state(planned()))
    move = Move(states[source], states[target], "because")

    def go(tx):
        receive(tx, set_info())
        tx.execute(batch_table.insert().values(batch_row(states[source])))
        apply(tx, LATER, move)
        return batches.get(tx, move.after.part.token), events.after(tx, 0, 10)[-1]

    stored, event = await ledger.transact(go)
    assert stored == move.after
    assert (event.source, event.target, event.why) == (source, target, "because")
    assert (event.at, event.token) == (LATER, move.after.part.token)


@pytest.mark.parametrize(("source", "target"), sorted(SET_EDGES))
async def test_every_edge_of_a_set_can_be_gone(
    ledger: InlineDatabase, source: str, target: str
) -> None:
    """A set moves with its flags untouched, and the time of the change is kept."""
    states = by_state(sets_in_every_state(set_info()))
    move = Move(states[source], states[target], "because")
    flags = Flags(paused=True)

    def go(tx):
        row = {**set_row(states[source]), **flags_row(flags), "updated_at": NOW}
        tx.execute(set_table.insert().values(row))
        apply(tx, LATER, move)
        return request_sets.get(tx, set_info().id), events.after(tx, 0, 10)

    stored, (event,) = await ledger.transact(go)
    assert stored == request_sets.StoredSet(move.after, flags, LATER)
    assert (event.source, event.target, event.token) == (source, target, None)


@pytest.mark.parametrize(
    "older",
    [
        replace(planned(), upload=2),
        replace(planned(), not_before=NOW + timedelta(microseconds=1)),
        replace(planned(), part=replace(planned().part, wire_bytes=1)),
        machine.stow(planned(), FileName("files/x"), NOW).after,
    ],
)
async def test_a_decision_about_an_older_value_is_dropped(
    ledger: InlineDatabase, older: machine.Unsent
) -> None:
    """The guard is the whole value that was read, and a stale move leaves no trace."""
    await ledger.transact(start, set_info(), planned())
    before = await ledger.read(events.last_id)

    with pytest.raises(StaleTransition, match=f"batch {planned().part.token} is no longer"):
        await ledger.transact(apply, NOW, machine.intend(older, NOW, ACCOUNT, 1))

    assert await ledger.read(batches.get, planned().part.token) == planned()
    assert await ledger.read(events.last_id) == before


async def test_a_move_between_equal_states_is_guarded_too(ledger: InlineDatabase) -> None:
    """Of two questions of the same doubt only the first is recorded."""
    intent = machine.intend(planned(), NOW, ACCOUNT, 1)
    doubt = machine.question(intent.after, "in_doubt", "timeout")
    await ledger.transact(start, set_info(), planned())
    await ledger.transact(apply, NOW, intent, doubt)

    with pytest.raises(StaleTransition):
        await ledger.transact(apply, NOW, doubt)


async def test_moves_of_one_call_are_done_together_or_not_at_all(ledger: InlineDatabase) -> None:
    """One stale move undoes the others of its transaction."""
    first, second = planned(1), planned(2)
    stale = machine.drop(replace(second, upload=7), NOW, "cancelled")
    await ledger.transact(start, set_info(), first, second)

    with pytest.raises(StaleTransition):
        await ledger.transact(apply, NOW, machine.drop(first, NOW, "cancelled"), stale)

    assert await ledger.read(batches.of_set, set_info().id) == [first, second]


async def test_a_stale_move_of_a_set_is_dropped(ledger: InlineDatabase) -> None:
    """A set that moved on, or was never there, takes no move."""
    await ledger.transact(receive, set_info())
    move = index(Received(set_info()))
    await ledger.transact(apply, NOW, move)

    with pytest.raises(StaleTransition, match=f"set {set_info().id} is no longer"):
        await ledger.transact(apply, NOW, move)
    with pytest.raises(StaleTransition):
        await ledger.transact(apply, NOW, index(Received(set_info("unknown"))))


async def test_flags_are_guarded_and_on_record(ledger: InlineDatabase) -> None:
    """A flag is laid upon a set once, with the reason; a decision on older flags is dropped."""
    await ledger.transact(receive, set_info())
    held = Flags(held="the source changed; drop it again")

    await ledger.transact(request_sets.flag, LATER, set_info().id, Flags(), held, "held")
    with pytest.raises(StaleTransition, match="flags of set"):
        await ledger.transact(
            request_sets.flag, LATER, set_info().id, Flags(), Flags(paused=True), "paused"
        )

    stored = await ledger.read(request_sets.get, set_info().id)
    last = (await ledger.read(events.after, 0, 10))[-1]
    assert stored is not None
    assert (stored.flags, stored.updated_at) == (held, LATER)
    assert (last.source, last.target, last.why) == ("received", "received", "held")


async def test_of_twenty_claimants_one_wins(database: Database) -> None:
    """However many decide upon the same value, exactly one of them carries it out."""
    await database.transact(start, set_info(), planned())
    won = []

    async def claim(epoch: int) -> None:
        try:
            await database.transact(apply, NOW, machine.intend(planned(), NOW, ACCOUNT, epoch))
        except StaleTransition:
            return
        won.append(epoch)

    async with asyncio.TaskGroup() as group:
        for epoch in range(20):
            group.create_task(claim(epoch))

    stored = await database.read(batches.get, planned().part.token)
    assert isinstance(stored, Submitting)
    assert [stored.epoch] == won


async def test_no_move_is_no_event(ledger: InlineDatabase) -> None:
    """Nothing to do leaves nothing on record."""
    await ledger.transact(apply, NOW)

    assert await ledger.read(events.last_id) == 0


async def test_a_life_is_told_by_its_events(ledger: InlineDatabase) -> None:
    """From the plan to the answers every step is on record, in order."""
    await ledger.transact(start, set_info(), planned())
    await ledger.transact(apply, NOW, *path_to_collected(planned()))

    steps = [event for event in await ledger.read(events.after, 0, 100) if event.token]

    assert [event.target for event in steps] == [
        "planned", "uploaded", "submitting", "submitted", "ended", "collected"
    ]  # fmt: skip


async def test_an_error_of_the_job_is_kept(ledger: InlineDatabase) -> None:
    """What the service said about a failed job survives, and so does why the batch lapsed."""
    intent = machine.intend(planned(), NOW, ACCOUNT, 1)
    confirmed = machine.confirm(intent.after, JobName("batches/1"), NOW, "")
    ended = machine.end(confirmed.after, JobState.FAILED, JobError(13, "internal"), NOW)
    await ledger.transact(start, set_info(), planned())
    await ledger.transact(apply, NOW, intent, confirmed, ended)

    assert await ledger.read(batches.get, planned().part.token) == ended.after

    lapse = machine.lapse(ended.after, LapseReason.FAILED, NOW, "13: internal")
    await ledger.transact(apply, NOW, lapse)
    stored = await ledger.read(batches.get, planned().part.token)
    assert isinstance(stored, Lapsed)
    assert stored.reason is LapseReason.FAILED
