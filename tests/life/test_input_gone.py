"""An input that somebody deletes by hand: its set is held with the reason, and loses no answer."""

from pathlib import Path

from tests.life.town import HOUR, Drop, Town, live


def the_input(town: Town) -> Path:
    """The claimed file of the only set."""
    (found,) = (town.state / "work").glob("*/input")
    return found


def test_a_set_whose_input_is_deleted_is_held_and_goes_on_with_it():
    """Its answers are fetched and kept; with the file put back they are delivered, paid once."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("bereft", 3))
        await town.until(lambda: bool(town.jobs))
        claimed = the_input(town)
        kept = claimed.read_bytes()
        claimed.unlink()
        await town.pass_time(6 * HOUR)
        held = (await town.set_named("bereft")).flags.held
        assert held is not None
        assert "input is gone" in held
        assert town.trouble("input_gone")
        assert not (town.state / "outbox" / "bereft" / "summary.json").exists()

        claimed.write_bytes(kept)
        await town.until_delivered()

        assert len(town.jobs) == 1
        town.judge()

    live(scenario)
