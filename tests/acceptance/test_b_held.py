"""B23, B26: what waits for the operator is told once, and ends by the operator's word.

In virtual time.
"""

from collections.abc import Awaitable, Callable

import pytest

from orchestrator.domain.ids import SetId
from orchestrator.store import events
from tests.life.town import DAY, HOUR, Drop, Fault, Town, live

TWO = Drop("two-jobs", 6, options={"max_requests_per_batch": 3})
THREE = Drop("three-lines", 9)
ROW = '{"key":"0","response":{"candidates":[{"content":{"parts":[{"text":"yes"}]}}]}}\n'
ONE_ROW = Fault(do="answer", on="files.download", status=200, body=ROW, times=10_000)


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


async def _held_as_short(town: Town) -> SetId:
    town.drop(THREE)
    set_id = await town.set_of(THREE.name)
    for _ in range(200):
        if (await town.stored(set_id)).flags.held:
            break
        await town.pass_time(600)
    await town.pass_time(DAY)
    held = (await town.stored(set_id)).flags.held or ""
    assert held.startswith("short_answers: ")
    assert "9 of its requests succeeded" in held
    assert "`orchestrator retry`" in held
    assert "`orchestrator cancel`" in held
    assert len(town.jobs) == 1
    return set_id


async def _whole(town: Town, _set_id: SetId) -> None:
    town.emulator.faults.clear()
    await town.until_delivered(within=DAY)
    assert len(town.jobs) == 1
    town.judge()


async def _retried(town: Town, set_id: SetId) -> None:
    said = await town.control.retry(set_id)
    await town.until(lambda: len(town.jobs) == 2, step=5)
    town.emulator.faults.clear()
    await town.until_delivered(within=DAY)
    assert "paid again" in said
    assert [job.count for job in town.jobs] == [9, 8]
    assert all("response" in one for one in town.results(THREE.name))


async def _cancelled(town: Town, set_id: SetId) -> None:
    await town.control.cancel(set_id)
    await town.until_delivered(within=DAY)
    assert len(town.jobs) == 1
    assert ["response" in one for one in town.results(THREE.name)] == [True] + 8 * [False]


@pytest.mark.parametrize("then", [_whole, _retried, _cancelled])
def test_b26_an_output_shorter_than_its_job_says_is_held_and_not_paid_again(
    then: Callable[[Town, SetId], Awaitable[None]],
):
    """A proxy that cuts the results between two lines makes nobody pay: the set waits for a word.

    It ends by itself when the output is whole again, or by `retry` or `cancel`.
    """

    async def scenario(town: Town) -> None:
        await then(town, await _held_as_short(town))

    live(scenario, faults=(ONE_ROW,), config="[limits]\ninline_max_bytes = 100\n")
