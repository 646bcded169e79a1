"""A mistake that is in every line is not worked off line by line for ever."""

from orchestrator.emulator.faults import Fault
from tests.life.town import Drop, Town, live

REFUSAL = Fault(
    do="answer",
    on="batches.create",
    model="gemini-2.5-flash",
    status=400,
    rpc="INVALID_ARGUMENT",
    message="Error on line 1: no such field: 'temprature'",
)


def test_a_set_whose_creates_are_refused_again_and_again_is_held():
    """It is held after a bounded number of creates, with the service's words and the remedy."""

    async def scenario(town: Town) -> None:
        town.emulator.faults.add([REFUSAL])
        town.drop(Drop("misspelt", 90))
        name = await town.set_of("misspelt")

        await town.pass_time(24 * 3600)

        held = (await town.stored(name)).flags.held
        assert held is not None
        assert held.startswith("refused: 40 creates")
        assert "temprature" in held
        assert "mend the lines" in held
        assert town.calls("batches.create") == 40
        town.emulator.faults.clear()
        await town.control.resume(name)
        await town.until_delivered("misspelt")
        assert town.summary("misspelt")["failed"] == 40

    live(scenario)
