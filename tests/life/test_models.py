"""Models: each is asked about before the first create, patiently, and never for ever."""

import pytest

from orchestrator.store import events
from tests.life.town import HOUR, Drop, Fault, Town, live

PICTURES = "imagen-4.0-generate-001"
NO_BATCH = {"model": PICTURES}
DOWN = Fault(do="unavailable", on="models.get")


def rejected(town: Town, name: str) -> bool:
    """Whether a set was refused."""
    return (town.state / "rejected" / name / "summary.json").exists()


async def look(town: Town, seconds: int) -> None:
    """Let time pass in which the inbox is looked at every few seconds, as it is by default."""
    for _ in range(0, seconds, 5):
        assert town.life is not None
        assert town.life.assembly is not None
        town.life.assembly.bells.of("intake").ring()
        await town.pass_time(5)


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (PICTURES, f"the model '{PICTURES}' has no batchGenerateContent"),
        ("gemini-9-ultra", "the service does not know the model 'gemini-9-ultra'"),
    ],
)
def test_a_model_that_cannot_do_it_is_named_beside_those_that_can(model: str, what: str):
    """The set is refused before anything is sent, with the models that have what it needs."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("odd", 3, options={"model": model}))
        await town.until(lambda: rejected(town, "odd"), within=HOUR)
        reason = town.summary("odd", "rejected")["reason"]
        assert reason.startswith(f"{what}; set `model` to one that has: ")
        offered = reason.partition("has: ")[2].split(", ")
        assert "gemini-2.5-flash" in offered
        assert PICTURES not in offered
        assert "gemini-embedding-001" not in offered
        assert town.calls("files.start") == town.calls("batches.create") == 0

    live(scenario)


def test_a_model_is_asked_about_again_when_the_service_was_down():
    """A set waits for the answer, which is asked for less and less often; then it is judged."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("odd", 3, options=NO_BATCH), Drop("well", 3))
        await look(town, 240)
        asked = town.calls("models.get")
        assert 2 * 4 <= asked <= 2 * 8
        town.emulator.faults.clear()
        await look(town, 300)
        await town.until_delivered("well", within=HOUR)
        assert rejected(town, "odd")
        assert town.trouble("model_check") == []
        assert town.calls("batches.create") == 1

    live(scenario, faults=(DOWN,))


def test_a_service_that_never_says_blocks_no_set():
    """After some minutes a set goes on unchecked, which is shown and in the set's history."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("patient", 3), Drop("other", 2))
        set_id = await town.set_of("patient")
        await town.until_delivered(within=2 * HOUR)
        town.judge()
        (why,) = {*town.trouble("model_check")}
        assert "goes on unchecked" in why
        told = await town.read(events.after, 0, 100, set_id)
        assert [one.why for one in told if one.target == "indexed"] == [why]
        asked = town.calls("models.get")
        town.drop(Drop("late", 2))
        await town.until_delivered("late", within=HOUR)
        assert asked < town.calls("models.get") <= asked + 3
        town.emulator.faults.clear()
        town.drop(Drop("last", 1))
        await town.until_delivered("last", within=HOUR)
        assert ("model_check", "gemini-2.5-flash", None) in town.troubles

    live(scenario, faults=(DOWN,))


def test_one_model_is_asked_about_once():
    """Many sets of one model need one answer."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("first", 1))
        await town.until_delivered()
        town.drop(*(Drop(f"set-{n}", 1) for n in range(4)))
        await town.until_delivered()
        assert town.calls("models.get") == 1
        assert town.calls("models.list") == 0

    live(scenario)
