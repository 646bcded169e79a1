from datetime import timedelta

from orchestrator.domain import request_sets as sets
from orchestrator.domain.batches import Tally, Usage
from orchestrator.domain.request_sets import Flags, Totals
from orchestrator.store import request_sets as stored_sets


def sample(world, name, **labels):
    return world.room.metrics.registry.get_sample_value(name, labels)


async def test_what_the_ledger_knows_at_the_start_is_shown_and_not_counted(world, make):
    """After a restart the board shows every set, and the counters begin at nothing."""
    running, (planned,) = await world.run(make.info(1), make.part(make.info(1)))
    await world.receive(make.info(2))

    await world.room.feed.load()

    board, now = world.room.board, world.clock.now()
    assert {board.show(of, now).display for of in board.folds} == {"reading", "running"}
    assert board.batches(running.info.id) == [planned]
    assert (
        sample(world, "orchestrator_moves_total", machine="batch", source="none", target="planned")
        is None
    )


async def test_what_was_committed_is_shown_counted_and_told(world, make):
    """A set's way from the drop to its delivery is seen in the board, the metrics, the events."""
    of = make.info(1)
    await world.room.feed.load()
    running, (first, second) = await world.run(of, make.part(of, 1), make.part(of, 2))
    world.clock.advance(minutes=1)
    await world.room.feed.refresh()
    job = await world.submit(first)
    await world.room.feed.refresh()
    world.clock.advance(hours=2)

    view = world.room.board.show(world.room.board.get(of.id), world.clock.now())
    assert (view.batches.submitted, view.batches.planned) == (1, 1)
    assert view.oldest_job_age_seconds == 7200
    assert view.open == 9

    await world.collect(job, Tally(answered=2, failed=1), Usage(prompt=100, candidates=50))
    await world.room.feed.refresh()
    other = await world.submit(second, "batches/j2")
    await world.collect(other, Tally(answered=2, retryable=1), Usage(prompt=10))
    done = sets.deliver(running, Totals(8, 2), "0" * 64, world.clock.now())
    await world.move(done)
    await world.room.feed.refresh()

    view = world.room.board.show(world.room.board.get(of.id), world.clock.now())
    assert (view.display, view.answered, view.failed, view.open) == ("delivered", 8, 2, 0)
    assert view.cost == "0.000160"
    assert view.finished_at == make.START + timedelta(hours=2, minutes=1)
    assert not world.room.board.holds(of.id)
    assert sample(world, "orchestrator_requests_settled_total", outcome="answered") == 4
    assert sample(world, "orchestrator_requests_retried_total", reason="retryable") == 1
    assert sample(world, "orchestrator_drop_to_submit_seconds_sum") == 59
    assert sample(world, "orchestrator_job_seconds_sum", outcome="succeeded") == 7200
    assert sample(world, "orchestrator_drop_to_delivery_seconds_count") == 1
    told = world.room.recent.since(0, 500, None)
    assert [event.id for event in told] == list(range(1, len(told) + 1))
    assert [(e.source, e.target) for e in told][-1] == ("running", "delivered")


async def test_a_reopened_set_is_shown_with_all_its_batches(world, make):
    """A set that was let go is read whole again once it runs again."""
    of = make.info(1)
    running, (batch,) = await world.run(of, make.part(of))
    await world.collect(await world.submit(batch), Tally(answered=3), Usage())
    done = sets.deliver(running, Totals(3, 7), "0" * 64, world.clock.now())
    await world.move(done)
    await world.room.feed.load()
    assert not world.room.board.holds(of.id)

    await world.move(sets.reopen(done.after, "set-1-retry", 1 << 20))
    await world.room.feed.refresh()

    view = world.room.board.show(world.room.board.get(of.id), world.clock.now())
    assert (view.display, view.answered, view.batches.collected) == ("running", 3, 1)
    assert view.failed == 1
    assert len(world.room.board.batches(of.id)) == 1


async def test_a_flag_is_shown(world, make):
    """A pause, a hold and the wish to cancel are seen at once, the wish above all."""
    of = make.info(1)
    await world.run(of)
    await world.room.feed.load()
    shown = []
    before = Flags()
    for after in (
        Flags(paused=True),
        Flags(paused=True, held="crashed thrice; look at the log"),
        Flags(cancel_asked=True, held="crashed thrice; look at the log"),
    ):
        await world.flag(of, before, after, "the operator said so")
        await world.room.feed.refresh()
        view = world.room.board.show(world.room.board.get(of.id), world.clock.now())
        shown.append((view.display, view.reason, view.remedy))
        before = after

    assert shown == [
        ("paused", None, None),
        ("held", "crashed thrice", "look at the log"),
        ("cancelling", "crashed thrice", "look at the log"),
    ]


async def test_more_events_than_one_look_takes_are_all_told(world, make):
    """A look that finds a full page looks again, until nothing is left."""
    await world.room.feed.load()
    of = make.info(1)
    await world.run(of, *(make.part(of, serial) for serial in range(1, 1002)))

    await world.room.feed.refresh()

    assert world.room.recent.last == 1004
    assert len(world.room.recent.since(0, 2000, None)) == 1004
    assert len(world.room.board.batches(of.id)) == 1001


async def test_what_the_ledger_has_forgotten_is_forgotten(world, make):
    """A set that retention removed is shown no longer after the next sweep."""
    received = await world.receive(make.info(1))
    await world.room.feed.load()
    rejected = sets.reject(received, "duplicate keys", world.clock.now())
    await world.move(rejected)
    await world.room.feed.refresh()
    await world.database.transact(stored_sets.delete, received.info.id)

    await world.room.feed.sweep()

    assert world.room.board.get(received.info.id) is None
