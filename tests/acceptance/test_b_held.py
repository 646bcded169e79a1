"""B23, B26: what waits for the operator is told once, and ends by the operator's word.

In virtual time.
"""

from orchestrator.store import events
from tests.life.town import DAY, HOUR, Drop, Fault, Town, live

TWO = Drop("two-jobs", 6, options={"max_requests_per_batch": 3})


def test_b23_two_reasons_to_hold_a_set_are_not_told_in_turn():
    """A set of which two jobs vanished is held once, however long the operator takes."""

    async def scenario(town: Town) -> None:
        town.drop(TWO)
        set_id = await town.set_of(TWO.name)
        await town.until(lambda: len(town.jobs) == 2, step=5)
        for job in town.jobs:
            job.deleted = True
        await town.pass_time(2 * DAY)
        told = await town.read(events.after, 0, 1000, set_id)
        town.emulator.faults.clear()
        assert len([one for one in told if one.why.startswith("held: ")]) == 1
        assert len(town.jobs) == 2

        await town.control.retry(set_id)
        await town.until_delivered(within=DAY)

        assert all("response" in one for one in town.results(TWO.name))

    live(scenario, faults=(Fault(do="stuck", batch="*"),))


def test_b26_a_set_with_foreign_answers_is_held_and_ends_when_it_is_cancelled():
    """Nothing is delivered from such an output: `cancel` ends the set and keeps the other job's."""

    async def scenario(town: Town) -> None:
        town.drop(TWO)
        set_id = await town.set_of(TWO.name)
        while not (await town.stored(set_id)).flags.held:
            await town.pass_time(600)
        await town.pass_time(DAY)
        await town.control.cancel(set_id)
        await town.until_delivered(within=HOUR * 6)
        told = town.results(TWO.name)

        assert len(town.jobs) == 2
        assert town.summary(TWO.name)["state"] == "cancelled"
        assert ["response" in one for one in told].count(True) == 3
        assert {one["error"]["status"] for one in told if "error" in one} == {"CANCELLED"}

    live(scenario, faults=(Fault(do="row_unknown", on="batches.create", times=1),))
