"""What the operator's guide says about a ledger that was lost, carried out."""

from functools import partial

import pytest

from orchestrator.store import request_sets as set_rows
from tests.life.town import HOUR, Drop, Town, live
from tests.simulation.ledger import restore

TWO = {"max_requests_per_batch": 2}


@pytest.mark.parametrize("told", [True, False], ids=["epoch removed", "epoch kept"])
def test_with_the_ledger_alone_put_back_every_later_set_comes_home(*, told: bool) -> None:
    """Beside the newest work/ and outbox/ an old ledger finds what it never knew, and pays once."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("before", 3))
        await town.until_delivered()
        backup = town.around.images[-1]
        town.drop(Drop("delivered", 4, options=TWO))
        await town.until_delivered()
        known = len(town.jobs)
        town.drop(Drop("running", 4, options=TWO))
        await town.until(lambda: len(town.jobs) == known + 2, step=1)
        await town.pass_time(60)
        await town.stop()

        restore(town.around.ledger_file, backup)
        if told:
            (town.state / "epoch").unlink()
        await town.start()

        await town.until_delivered(within=12 * HOUR)
        await town.pass_time(2 * HOUR)
        assert len(town.jobs) == known + 2
        sets = await town.read(partial(set_rows.page, state=None, after=None, limit=10))
        assert {one.value.info.name: one.value.state for one in sets} == dict.fromkeys(
            ("before", "delivered", "running"), "delivered"
        )
        town.judge()

    live(scenario)
