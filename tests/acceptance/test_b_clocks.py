"""B33: the wall clock of the machine jumps, or is days off; the service's is right.

In virtual time, so that days cost seconds. Uploads are counted at the service.
"""

from datetime import timedelta

import pytest

from orchestrator.emulator.settings import EmulatorSettings
from orchestrator.stages.submit import UPLOADS_REFUSED_MAX
from tests.life.town import DAY, HOUR, Drop, Fault, Town, live

FILES = Drop("files", 9, options={"max_requests_per_batch": 3})
INLINE = Drop("inline", 2)
JUMPS = (-3, 3)
STUCK = Fault(do="stuck", text="pending", batch="*")


@pytest.mark.parametrize("days", JUMPS)
def test_b33_a_jump_of_the_wall_clock_neither_stops_nor_repeats_work(days):
    """Days forward or back while sets are under way: all is delivered soon, each file sent once."""

    async def scenario(town: Town) -> None:
        town.drop(FILES, INLINE)
        town.clock.skew = timedelta(days=days)
        await town.until_delivered(within=DAY)
        again = Drop("again", 9, options={"max_requests_per_batch": 3})
        town.drop(again)
        await town.pass_time(HOUR)
        town.clock.skew = timedelta(0)
        await town.until_delivered(within=DAY)

        town.judge()
        assert town.calls("files.start") == 6

    live(scenario)


@pytest.mark.parametrize("days", JUMPS)
def test_b33_what_waits_for_its_turn_does_not_wait_for_a_clock_that_was_set_back(days):
    """A pause that was set under a wrong clock ends within hours, and not days later."""

    async def scenario(town: Town) -> None:
        town.clock.skew = timedelta(days=days)
        town.emulator.faults.add([Fault(do="quota", on="batches.create", times=4, seconds=30.0)])
        town.emulator.faults.add([Fault(do="unavailable", on="files.start", times=4)])
        town.drop(FILES, INLINE)
        await town.until(lambda: town.calls("batches.create") > 0)
        town.clock.skew = timedelta(0)
        await town.until_delivered(within=DAY)

        town.judge()

    live(scenario)


@pytest.mark.parametrize("days", JUMPS)
def test_b33_no_window_of_doubt_is_cut_short_or_drawn_out(days):
    """A create in doubt is waited for by a clock that does not jump: 45 minutes and some."""

    async def scenario(town: Town) -> None:
        town.emulator.faults.add([Fault(do="lose_request", on="batches.create", times=1)])
        town.drop(INLINE)
        await town.until(lambda: town.calls("batches.create") == 1, step=5)
        began = town.loop.time()
        town.clock.skew = timedelta(days=days)
        await town.until(lambda: town.calls("batches.create") == 2, step=5)
        took = town.loop.time() - began
        await town.until_delivered()

        town.judge()
        assert 2700 <= took < 4 * HOUR

    live(scenario)


@pytest.mark.parametrize("days", JUMPS)
def test_b33_no_job_is_taken_for_stuck_because_a_clock_was_set(days):
    """With `stuck = "resubmit"` a jump cancels nothing and calls no model slow."""

    async def scenario(town: Town) -> None:
        town.drop(INLINE)
        await town.until(lambda: bool(town.jobs), step=5)
        await town.pass_time(HOUR)
        town.clock.skew = timedelta(days=days)
        await town.pass_time(6 * HOUR)
        town.clock.skew = timedelta(0)
        await town.pass_time(6 * HOUR)
        state, told = town.jobs[0].state, town.trouble("slow")
        town.emulator.jobs.move(town.jobs[0], "BATCH_STATE_SUCCEEDED")
        await town.until_delivered(within=DAY)

        assert state == "BATCH_STATE_PENDING"
        assert told == []
        assert len(town.jobs) == 1
        town.judge()

    live(scenario, config='[polling]\nstuck = "resubmit"\n', faults=(STUCK,))


def test_files_that_end_too_soon_are_sent_again_a_few_times_and_held():
    """Where no file lives long enough, each is sent some times, less and less often; then held."""
    provider = EmulatorSettings(
        file_expiry_seconds=HOUR / 2, pending_seconds=(30, 90), running_seconds=(60, 600)
    )

    async def scenario(town: Town) -> None:
        town.drop(FILES)
        set_id = await town.set_of(FILES.name)
        await town.pass_time(DAY)
        held = (await town.stored(set_id)).flags.held

        assert held is not None
        assert "expires too soon" in held
        assert town.calls("files.start") <= 3 * UPLOADS_REFUSED_MAX
        assert not town.jobs

    live(scenario, provider=provider)
