"""Waiting is cheap: one page of a list for a hundred jobs, seldom when old, and never results."""

from itertools import pairwise

from orchestrator.emulator.settings import EmulatorSettings
from tests.life.town import HOUR, Asked, Drop, Town, live

SLOW = EmulatorSettings(pending_seconds=(30, 90), running_seconds=20 * HOUR)
LOOKED_AND_FETCHED = [True, False]  # is it over? without its results; then these, once
KEPT = "[retention]\nremote_days = 30\n"


def lists(town: Town, since: float = 0.0) -> list[Asked]:
    """The pages of the job list that were asked for."""
    return [
        one
        for one in town.asked
        if one.at >= since and one.method == "GET" and one.path.endswith("/batches")
    ]


def looks(town: Town, since: float = 0.0) -> list[Asked]:
    """The single jobs that were asked for."""
    return [
        one
        for one in town.asked
        if one.at >= since and one.method == "GET" and "/batches/" in one.path
    ]


def test_young_jobs_are_looked_at_often_and_old_ones_seldom():
    """A job is waited for by the list alone, at intervals that grow within the settings' bounds."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("slow", 3))
        await town.until(lambda: len(town.jobs) == 1, step=10)
        start = town.loop.time()
        await town.pass_time(2 * HOUR)
        young = len(lists(town, start))
        await town.pass_time(10 * HOUR)
        later = town.loop.time()
        await town.pass_time(2 * HOUR)
        old = len(lists(town, later))
        assert 2 * HOUR / 900 - 1 <= old < young <= 2 * HOUR / 120
        assert looks(town) == []
        await town.until_delivered()
        assert ["fields" in one.query for one in looks(town)] == LOOKED_AND_FETCHED

    live(scenario, provider=SLOW)


def test_looks_have_no_beat():
    """Each wait is up to a tenth shorter or longer, so that many daemons do not look together."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("slow", 3))
        await town.pass_time(10 * HOUR)
        since = town.loop.time()
        await town.pass_time(8 * HOUR)
        waits = [b.at - a.at for a, b in pairwise(lists(town, since))]
        assert len(waits) > 20
        assert 0.9 * 900 - 1 <= min(waits) < 0.95 * 900
        assert 1.05 * 900 < max(waits) <= 1.1 * 900 + 1

    live(scenario, provider=SLOW)


def test_waiting_never_fetches_the_results_of_inline_jobs():
    """Results that lie in finished jobs of the list are not sent along; each is fetched once."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("done", 6))
        await town.until_delivered()
        (job,) = town.jobs
        assert job.input_file is None
        assert ["fields" in one.query for one in looks(town)] == LOOKED_AND_FETCHED
        town.drop(Drop("slow", 3))
        since = town.loop.time()
        await town.until_delivered()
        pages = lists(town, since)
        assert len(pages) > 10
        assert all("fields" in one.query for one in pages)
        results = (town.state / "outbox/done/results.jsonl").stat().st_size
        assert min(one.size for one in pages) > 0
        assert max(one.size for one in pages) < results
        assert ["fields" in one.query for one in looks(town)] == LOOKED_AND_FETCHED * 2

    live(scenario, provider=SLOW, config=KEPT)


def test_a_look_takes_one_page_for_each_hundred_jobs():
    """Of 130 jobs in the list a look reads two pages, of up to a hundred one."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("many", 130, options={"max_requests_per_batch": 1}))
        await town.until(lambda: len(town.jobs) > 10)
        assert {one.query["pageSize"] for one in lists(town)} == {"100"}
        assert all("pageToken" not in one.query for one in lists(town))
        await town.until_delivered()
        assert len(town.jobs) == 130
        town.drop(Drop("one", 1))
        since = town.loop.time()
        await town.until_delivered()
        pages = lists(town, since)
        assert len(pages) > 1
        further = ["pageToken" in one.query for one in pages]
        assert further == [False, True] * (len(pages) // 2)

    provider = EmulatorSettings(pending_seconds=(30, 90), running_seconds=(60, 600))
    live(scenario, provider=provider, config=KEPT)
