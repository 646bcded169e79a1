"""Watching: the job list is read as often as the youngest job deserves."""

from orchestrator.emulator.settings import EmulatorSettings
from tests.life.town import HOUR, Drop, Fault, Town, live

INSTANT = EmulatorSettings(pending_seconds=(1, 1), running_seconds=(1, 1))
POLLING = "[polling]\ninterval_min_seconds = 30.0\ninterval_max_seconds = 36000.0\n"


def test_the_first_job_after_an_idle_time_is_looked_at_soon():
    """A daemon without jobs looks seldom, but at its next job as soon as at any young one."""

    async def scenario(town: Town) -> None:
        await town.pass_time(HOUR)
        town.drop(Drop("late", 3))
        await town.until_delivered("late", within=300)
        town.judge()

    live(scenario, provider=INSTANT, config=POLLING)


def test_a_new_job_among_old_ones_is_looked_at_soon():
    """A job that is hours old does not make a new one wait as long as it does itself."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("old", 3))
        await town.pass_time(20 * HOUR)
        town.drop(Drop("new", 3))
        await town.until_delivered("new", within=300)

    live(scenario, provider=INSTANT, faults=(Fault(do="stuck", times=1),), config=POLLING)
