import asyncio

import pytest

from orchestrator.domain.batches import LapseReason
from orchestrator.domain.ids import JobName
from orchestrator.domain.jobs import JobSnapshot, JobState, Scan, Unrecognised
from orchestrator.status.lag import watch_lag
from orchestrator.status.metrics import STATUSES_MAX, Metrics


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(f"orchestrator_{name}", labels)


def test_calls_are_counted_by_name_and_status_within_bounds():
    """However many kinds of failure there are, the number of series is bounded."""
    metrics = Metrics()
    for status in (200, 200, 429, "timeout"):
        metrics.called("create", status, 0.2)
    for number in range(1000):
        metrics.called("list", f"failure {number}", 0.1)

    assert value(metrics, "api_calls_total", call="create", status="200") == 2
    assert value(metrics, "api_calls_total", call="create", status="timeout") == 1
    assert value(metrics, "api_calls_total", call="list", status="other") == 1003 - STATUSES_MAX
    assert value(metrics, "api_call_seconds_count", call="list") == 1000


def test_whatever_happens_is_told_once():
    """Each teller moves its own series."""
    metrics = Metrics()
    metrics.moved_bytes("uploaded", 5)
    metrics.moved_bytes("uploaded", 6)
    metrics.notified("webhook", "failed")
    metrics.listed(3.0)
    metrics.listed(-1.0)
    metrics.lapsed("expired", 7)
    metrics.ended("succeeded", 60)
    metrics.ended("something new", 60)

    assert value(metrics, "bytes_total", direction="uploaded") == 11
    assert value(metrics, "notifications_total", channel="webhook", result="failed") == 1
    assert value(metrics, "create_to_list_seconds_sum") == 3.0
    assert value(metrics, "batches_lapsed_total", reason="expired") == 1
    assert value(metrics, "requests_retried_total", reason="expired") == 7
    assert value(metrics, "job_seconds_count", outcome="other") == 1


@pytest.mark.parametrize("reason", list(LapseReason))
def test_what_is_alerted_on_begins_at_nothing(reason):
    """A series is there before its first event, so that the first one is an increase."""
    assert value(Metrics(), "batches_lapsed_total", reason=reason.value) == 0


def test_two_rooms_do_not_share_a_registry():
    """Metrics are no global: what one counts the other does not show."""
    one, other = Metrics(), Metrics()
    one.called("list", 200, 1)

    assert value(other, "api_calls_total", call="list", status="200") is None


async def test_the_gauges_follow_the_board(world, make):
    """Ages, depths and the account's use are read from the board when they are asked for."""
    of = make.info(1)
    metrics = world.room.metrics
    _, (first, _) = await world.run(of, make.part(of, 1), make.part(of, 2, mode="file"))
    await world.submit(first)
    await world.room.feed.load()
    snapshots = tuple(
        JobSnapshot(JobName(f"batches/{n}"), s, "", "", None, None, None, None, 1, None, None, None)
        for n, s in (("j1", JobState.RUNNING), ("j9", Unrecognised("BATCH_STATE_NEW")))
    )
    world.room.board.scanned(Scan(snapshots, complete=True, pages=1), world.clock.now())
    world.clock.advance(hours=30)

    assert value(metrics, "oldest_job_age_seconds") == 30 * 3600
    assert value(metrics, "last_scan_age_seconds") == 30 * 3600
    assert value(metrics, "queue", queue="upload") == 1
    assert value(metrics, "queue", queue="watch") == 1
    assert value(metrics, "batches", state="planned") == 1
    assert value(metrics, "project_jobs", project="default") == 1
    assert value(metrics, "enqueued_tokens", model="gemini-flash") == 100
    assert value(metrics, "requests_open") == 9
    assert value(metrics, "unsent_bytes") == 300
    assert value(metrics, "state", state="running") == 1
    world.room.board.block("default", "no billing", "add a card", world.clock.now())
    assert value(metrics, "project_blocked", project="default") == 1
    assert value(metrics, "state", state="blocked") == 1


async def test_an_incomplete_scan_adds_to_the_picture_and_proves_nothing(world):
    """Half a list updates what is known of its jobs; the age of the last whole look stays."""
    board, now = world.room.board, world.clock.now()

    def scan(state, *, complete, name="batches/j1"):
        job = JobSnapshot(JobName(name), state, "", "", None, None, None, None, 1, None, None, None)
        return Scan((job,), complete=complete, pages=1)

    board.scanned(scan(JobState.PENDING, complete=False), now)
    assert not board.looked
    board.scanned(scan(JobState.PENDING, complete=True), now)
    world.clock.advance(hours=1)
    board.scanned(scan(JobState.RUNNING, complete=False), world.clock.now())
    board.scanned(scan(JobState.RUNNING, complete=False, name="batches/x"), world.clock.now())

    looked = board.looked
    assert (looked.at, looked.states) == (now, {"batches/j1": "running"})


async def test_a_blocked_event_loop_is_seen():
    """What keeps the loop from its timers is told with its length."""
    told: list[float] = []
    enough = asyncio.Event()

    def tell(seconds):
        told.append(seconds)
        enough.set()

    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch_lag(tell, 0.01))
        await asyncio.sleep(0)
        end = asyncio.get_running_loop().time() + 0.1
        while asyncio.get_running_loop().time() < end:
            pass
        await enough.wait()
        watching.cancel()

    assert told[0] > 0.05


def test_what_is_read_and_uploaded_is_shown_until_it_is_over(world):
    """Progress is there while it lasts and leaves nothing behind."""
    board = world.room.board
    board.read("drop", 5, 10)
    assert board.reading == {"drop": (5, 10)}
    board.read("drop", 10, 10)
    assert board.reading == {}
