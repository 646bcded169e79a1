"""A list that hides jobs is no evidence that they do not exist, however often it does so."""

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.settings import EmulatorSettings
from tests.life.town import DAY, HOUR, Drop, Town, live

SLOW = EmulatorSettings(pending_seconds=(30, 90), running_seconds=30 * HOUR)


def test_an_empty_list_proves_nothing_while_a_job_is_known_to_exist():
    """A create in doubt waits for days under an empty list, and is adopted when it is shown."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("known", 2))
        await town.until(lambda: len(town.jobs) == 1)
        town.emulator.faults.add([Fault(do="lose_answer", on="batches.create", times=1)])
        town.emulator.faults.add([Fault(do="empty_list")])
        town.drop(Drop("doubtful", 2))
        await town.until(lambda: len(town.jobs) == 2)

        await town.pass_time(1.2 * DAY)

        assert len(town.jobs) == 2
        town.emulator.faults.clear()
        await town.until_delivered()
        assert len(town.jobs) == 2
        town.judge()

    live(scenario, provider=SLOW)
