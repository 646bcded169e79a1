"""An input that somebody deletes by hand: its set is held with the reason, and loses no answer."""

from pathlib import Path

from tests.life.town import HOUR, Drop, Fault, Town, live

FILE = 40  # so many do not go inline here


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


def test_an_input_file_that_the_service_does_not_find_is_uploaded_again():
    """A create that answers 404 for its file fails no request: the file is sent once more."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("big", FILE))
        await town.until_delivered(within=6 * HOUR)
        town.judge()
        assert town.calls("batches.create") == 2
        assert [job.count for job in town.jobs] == [FILE]

    words = "File files/abc not found."
    body = f'{{"error": {{"code": 404, "status": "NOT_FOUND", "message": "{words}"}}}}'
    live(
        scenario, faults=(Fault(do="answer", on="batches.create", status=404, body=body, times=1),)
    )


def test_a_model_that_the_service_does_not_find_is_no_missing_file():
    """The words of a 404 about a model settle the requests, also where they went as a file."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("big", FILE))
        await town.until_delivered(within=6 * HOUR)
        assert {one["error"]["code"] for one in town.results("big")} == {5}
        assert town.calls("batches.create") == 1

    words = "models/x is not found, or is not supported for a batch with a file."
    body = f'{{"error": {{"code": 404, "status": "NOT_FOUND", "message": "{words}"}}}}'
    live(
        scenario, faults=(Fault(do="answer", on="batches.create", status=404, body=body, times=1),)
    )
