"""What the machine withholds is told as long as it lasts, and waited for where that is safe."""

import asyncio
import errno
import os
import resource
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime

import pytest

from orchestrator.daemon.clocks import WallClock
from orchestrator.daemon.enduring import Enduring
from orchestrator.daemon.surroundings import migrations
from orchestrator.daemon.weather import LEDGER, RESERVE, Weather
from orchestrator.store import incidents
from orchestrator.store.database import Database
from orchestrator.store.errors import LedgerDenied, LedgerFull, LostLedger
from orchestrator.store.sqlite import outside

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LARGE = "x" * 100_000


class Told:
    """What is shown at present, and how often something was said to be over."""

    def __init__(self):
        self.shown, self.over = {}, 0
        self.something = asyncio.Event()

    def troubled(self, kind, subject, why):
        """Show, or show no longer."""
        if why is None:
            del self.shown[kind, subject]
        else:
            self.shown[kind, subject] = why
            self.something.set()

    def is_over(self):
        """Count."""
        self.over += 1


@pytest.fixture
def told():
    """Return what hears of it."""
    return Told()


@pytest.fixture
def weather(tmp_path, told):
    """Return the weather over one folder."""
    with closing(Weather([tmp_path], tmp_path, told.troubled, told.is_over)) as one:
        yield one


@contextmanager
def few_descriptors(spare):
    """Let this process open so few files for a while."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.open(os.devnull, os.O_RDONLY)
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe + spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def opened(most):
    """Open so many files, or as many as there can be."""
    files: list[int] = []
    with suppress(OSError):
        while len(files) < most:
            files.append(os.open(os.devnull, os.O_RDONLY))
    return files


def test_a_few_descriptors_are_kept_back_and_given_up_when_there_are_no_others(weather, told):
    """The shortage is shown until there is room for all that is kept back, and is then over."""
    weather.look()
    with few_descriptors(spare=3):
        taken = opened(3)
        short = OSError(errno.EMFILE, "Too many open files")
        passing = weather.passes(short)
        given = opened(RESERVE)
        weather.look()
        lasting = dict(told.shown)
        why = weather.obstacle()
        for file in (*taken, *given):
            os.close(file)
    weather.look()

    assert passing
    assert len(given) == RESERVE
    assert list(lasting) == [("descriptors", "")]
    assert why == lasting["descriptors", ""]
    assert "Too many open files" in why
    assert (told.shown, told.over, weather.obstacle()) == ({}, 1, None)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EROFS, "Read-only file system"),  # and it is not: something else is wrong
        LedgerDenied("disk I/O error"),
        LostLedger("the lock is lost"),
        ValueError("ours"),
    ],
)
def test_what_is_not_known_to_pass_is_not_waited_for(weather, told, error):
    """An error of the disk, a ledger that is lost and mistakes of ours are nobody's weather."""
    assert not weather.passes(error)
    assert told.shown == {}


@pytest.fixture
async def ledger(tmp_path):
    """Return a ledger that has no room for anything large."""
    url = f"sqlite:///{tmp_path}/orchestrator.db"
    one = await Database.open(url, migrations=migrations(), now=NOW)
    pages = await one._aside(outside, "PRAGMA page_count")
    await one._aside(outside, f"PRAGMA max_page_count = {pages[0][0] + 1}")
    yield one
    await one.close()


def book(tx):
    """Write something large."""
    incidents.book(tx, NOW, "late_twin", None, LARGE, 0, 0)


async def test_what_finds_no_room_in_the_ledger_is_recorded_when_there_is_some(
    ledger, weather, told
):
    """The caller waits and the reason is shown; nothing is lost and nothing is done twice."""
    enduring = Enduring(ledger, weather, WallClock())
    with pytest.raises(LedgerFull):
        await ledger.transact(book)

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(enduring.transact(book))
        await told.something.wait()
        shown, why, over = dict(told.shown), weather.obstacle(), told.over
        await ledger._aside(outside, "PRAGMA max_page_count = 100000")
        await waiting

    assert list(shown) == [("space", LEDGER)]
    assert why is not None
    assert (told.shown, over, told.over, weather.obstacle()) == ({}, 0, 1, None)
    assert len(await enduring.read(incidents.all)) == 1


async def test_whoever_waits_for_room_in_the_ledger_can_be_cancelled(ledger, weather, told):
    """A daemon that is to stop is not kept by a full disk."""
    enduring = Enduring(ledger, weather, WallClock())

    waiting = asyncio.ensure_future(enduring.transact(book))
    await told.something.wait()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await ledger.read(incidents.all) == []
