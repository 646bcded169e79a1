"""C15, D21: very many drops at once. Nobody is forgotten, nobody waits for everybody."""

import os
import tracemalloc
from datetime import timedelta

import pytest

from orchestrator.spool.inbox import FolderInbox
from orchestrator.spool.pool import Inline
from tests.acceptance.house import house, judge, line
from tests.acceptance.memory import rss_max
from tests.life.town import Drop, Town, live
from tests.simulation.clock import SimClock
from tests.simulation.loop import SimLoop, simulate

FEW = "[limits]\nmax_active_jobs = 4\n"
MB = 1_000_000


def test_d21_the_crowd_of_one_user_does_not_keep_another_waiting():
    """Many sets of one user and then one of another, more urgent: it is the next to go."""

    async def scenario(town: Town) -> None:
        crowd = [Drop(f"crowd-{number}", 1) for number in range(24)]
        other = Drop("other", 1, options={"priority": 5})
        town.drop(*crowd)
        await town.until(lambda: len(town.jobs) >= 4, step=5)
        town.drop(other)
        await town.until_delivered("other")
        done = len([one for one in crowd if (town.state / "outbox" / one.name).exists()])
        await town.until_delivered()

        assert done < 16
        town.judge()

    live(scenario, config=FEW)


@pytest.mark.soak
def test_c15_a_hundred_thousand_names_are_found_oldest_first_and_in_bounded_memory(tmp_path):
    """The oldest of all are taken first, whatever their names, for a kilobyte of memory each."""
    inbox, work = tmp_path / "inbox", tmp_path / "work"
    inbox.mkdir()
    work.mkdir()
    count, born = 100_000, 1_700_000_000
    for number in range(count):
        path = inbox / f"{number * 7919 % count}.jsonl"
        path.write_bytes(line("a"))
        os.utime(path, (born + number, born + number))

    async def scan(loop: SimLoop) -> list[str]:
        folder = FolderInbox(
            inbox, work, Inline(), SimClock(loop), settle=timedelta(0), watch=False
        )
        tracemalloc.start()
        found = [drop.name for drop in await folder.scan()]
        assert tracemalloc.get_traced_memory()[1] < 150 * MB
        tracemalloc.stop()
        return found

    found = simulate(scan, 0)

    assert len(found) >= 1000  # so many at a time; the others are found when these are taken
    assert found == [str(number * 7919 % count) for number in range(len(found))]


@pytest.mark.soak
@pytest.mark.timeout(1500)
def test_c15_thousands_of_drops_at_once_are_all_done_in_bounded_memory(tmp_path):
    """Two thousand sets dropped while it is down: all are delivered, each paid once."""
    count = 2000
    with house(tmp_path, emulator=("--speed", "4000")) as one:
        one.stop()
        drops = [Drop(f"one-of-many-{number}", 1) for number in range(count)]
        for drop in drops:
            drop.put(one.inbox)
        one.start()
        last = one.outbox / drops[-1].name / "summary.json"
        one.until(lambda: len(list(one.outbox.glob("*/summary.json"))) == count, str(last), 1200)

        assert judge(one, *drops) == []
        assert rss_max(one) < 400 * MB
