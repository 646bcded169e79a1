"""The operator's verbs: each safe at any moment, each the same when said twice."""

import pytest

from orchestrator.domain.request_sets import Cancelled, Delivered
from orchestrator.stages.control import NotPossible
from tests.life.town import HOUR, Drop, Fault, Town, live

TWO = {"max_requests_per_batch": 2}


def test_cancel_delivers_what_was_answered():
    """Remote jobs are cancelled; answered requests are delivered, the others say CANCELLED."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("half", 8, options=TWO))
        set_id = await town.set_of("half")
        await town.until(lambda: "submitted>ended" in town.moves, step=5)
        await town.pass_time(400)
        said = [await town.control.cancel(set_id) for _ in range(2)]
        assert "already" in said[1]
        await town.until_delivered()
        stored = await town.stored(set_id)
        assert isinstance(stored.value, Cancelled)
        results = town.results("half")
        assert len(results) == 8
        codes = {one["error"]["code"] for one in results if "error" in one}
        assert codes <= {1}
        assert stored.value.totals.answered == sum("response" in one for one in results) > 0
        assert "already" in await town.control.cancel(set_id)
        assert all(not job.is_active for job in town.jobs)

    live(scenario, config="[limits]\nmax_active_jobs = 1\n")


def test_pause_and_resume():
    """A paused set starts nothing new, however long; resumed it goes on. Both may be said twice."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("rest", 8, options=TWO))
        set_id = await town.set_of("rest")
        await town.until(lambda: len(town.jobs) == 1, step=5)
        for _ in range(2):
            await town.control.pause(set_id)
        await town.pass_time(10 * HOUR)
        assert len(town.jobs) == 1
        await town.restart(ONE)
        await town.pass_time(HOUR)
        assert len(town.jobs) == 1
        for _ in range(2):
            await town.control.resume(set_id)
        await town.until_delivered()
        town.judge()

    live(scenario, config=ONE)


ONE = "[limits]\nmax_active_jobs = 1\n"


def test_retry_sends_only_what_failed():
    """Failed requests are a new generation, delivered beside the first; said twice is once."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("again", 6))
        set_id = await town.set_of("again")
        await town.until_delivered()
        assert sum("error" in one for one in town.results("again")) == 2
        said = [await town.control.retry(set_id) for _ in range(2)]
        assert "2 requests are sent again" in said[0]
        assert "already" in said[1]
        await town.until((town.state / "outbox/again-2/summary.json").exists)
        assert all("response" in one for one in town.results("again-2"))
        assert [job.count for job in town.jobs] == [6, 2]
        assert isinstance((await town.stored(set_id)).value, Delivered)
        with pytest.raises(NotPossible):
            await town.control.retry(set_id)

    live(scenario, faults=(Fault(do="row_error", code=3, rows=[1, 4], times=1),))


def test_delete_remote_leaves_nothing_at_the_service():
    """Jobs and files of a finished set are gone; said twice it is done already."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("clean", 6, options=TWO))
        set_id = await town.set_of("clean")
        with pytest.raises(NotPossible):
            await town.control.delete_remote(set_id)
        await town.until_delivered()
        for _ in range(2):
            await town.control.delete_remote(set_id)
        assert all(job.deleted for job in town.jobs)
        files = town.emulator.files
        assert not [one for one in files.files.values() if files.is_there(one)]

    live(scenario)


def test_a_cancelled_set_can_be_retried():
    """What was answered stays, what was cancelled runs after all; said twice it is one retry."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("regret", 4, options=TWO))
        set_id = await town.set_of("regret")
        await town.until(lambda: "ended>collected" in town.moves, step=5)
        await town.control.cancel(set_id)
        await town.until_delivered()
        cancelled = [one["key"] for one in town.results("regret") if "error" in one]
        assert len(cancelled) == 2
        said = [await town.control.retry(set_id) for _ in range(2)]
        assert "2 requests are sent again" in said[0]
        assert "already" in said[1]
        await town.restart(ONE)
        await town.until((town.state / "outbox/regret-2/summary.json").exists)
        assert all("response" in one for one in town.results("regret-2"))
        assert isinstance((await town.stored(set_id)).value, Delivered)
        assert town.books().findings == ()

    live(scenario, config=ONE)
