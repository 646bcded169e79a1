"""A17, B6, B8, B29: many jobs at a restart, bounds that the service breaks, answers that are large.

In virtual time. What was paid is read from the provider's books.
"""

import pytest

from orchestrator.emulator.settings import EmulatorSettings, Quotas
from orchestrator.store import incidents
from tests.life.town import DAY, HOUR, Drop, Fault, Town, live

BEYOND = 3 * HOUR  # the window of doubt is 45 minutes
MANY = "[limits]\nmax_active_jobs = 2000\n"
ROOMY = EmulatorSettings(quotas=Quotas(active_jobs=2000))
INLINE_OPTIONS = "[limits]\ninline_max_bytes = 19_000_000\n"


@pytest.mark.parametrize("count", [120, pytest.param(1000, marks=pytest.mark.soak)])
def test_a17_a_restart_with_many_live_jobs_looks_once(count):
    """However many jobs are under way, a restart reads one list and asks for none by name."""

    async def scenario(town: Town) -> None:
        drop = Drop("many", count, options={"max_requests_per_batch": 1})
        town.drop(drop)
        await town.until(lambda: len(town.jobs) == count, within=DAY)
        before = len(town.asked)
        await town.restart()
        await town.pass_time(100)
        asked = [one for one in town.asked[before:] if one.method == "GET"]
        lists = [one for one in asked if one.path == "/v1beta/batches"]
        town.emulator.faults.clear()
        for job in town.jobs:
            town.emulator.jobs.move(job, "BATCH_STATE_SUCCEEDED")
        await town.until_delivered(within=3 * DAY)

        assert len(asked) == len(lists)
        assert len([one for one in lists if "pageToken" not in one.query]) == 1
        town.judge()

    live(scenario, provider=ROOMY, config=MANY, faults=(Fault(do="stuck", batch="*"),))


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param((Fault(do="late", seconds=BEYOND, times=1),), id="b6-late"),
        pytest.param(
            (
                Fault(do="lose_answer", on="batches.create", times=1),
                Fault(do="hide_new", seconds=BEYOND, times=1),
            ),
            id="b8-hidden",
        ),
    ],
)
def test_b6_b8_a_create_beyond_all_assumed_bounds_is_booked_and_cancelled(faults):
    """Later than assumed it may be a second job: one is cancelled, and the books say so, once."""
    slow = EmulatorSettings(pending_seconds=(12 * HOUR, 13 * HOUR), running_seconds=(60, 600))

    async def scenario(town: Town) -> None:
        town.drop(Drop("inline", 3))
        await town.until_delivered(within=3 * DAY)
        booked = await town.read(incidents.all)
        states = sorted(job.state for job in town.jobs)

        assert states == ["BATCH_STATE_CANCELLED", "BATCH_STATE_SUCCEEDED"]
        assert [one.kind for one in booked].count("paid_twice_suspected") == 1
        assert all("response" in one for one in town.results("inline"))
        town.judge()

    live(scenario, provider=slow, faults=faults)


def test_b6_a_create_of_a_file_that_comes_late_finds_no_file():
    """Behind the fence nothing late can run: the file was deleted, and nothing is paid twice."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("files", 9, options={"max_requests_per_batch": 9}))
        await town.until_delivered(within=3 * DAY)
        await town.pass_time(BEYOND)

        assert [job.state for job in town.jobs].count("BATCH_STATE_SUCCEEDED") == 1
        town.judge()

    live(scenario, faults=(Fault(do="late", seconds=BEYOND, times=1),))


@pytest.mark.parametrize(("count", "files"), [(4000, 0), (4001, 1)])
def test_b29_a_set_whose_answers_could_be_too_large_goes_as_a_file(count, files):
    """However small its requests: answers of an inline job come in one body, which is bounded."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("small-ones", count))
        await town.until(lambda: bool(town.jobs), step=5)

        assert len(town.jobs) == 1
        assert town.calls("files.upload") == files

    live(scenario, config=INLINE_OPTIONS)
