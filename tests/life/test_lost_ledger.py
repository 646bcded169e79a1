"""A lost ledger is built again from the folders and the job list; nothing is paid again."""

from tests.life.town import HOUR, Drop, Town, live


def test_what_was_answered_from_an_earlier_run_is_again():
    """A drop with the content of an earlier one gets its answers, even when both are taken anew."""

    async def scenario(town: Town) -> None:
        first = Drop("later-in-the-alphabet", 3)
        town.drop(first)
        await town.until_delivered()
        inbox = town.state / "inbox"
        (inbox / "again.toml").write_text(first.options_text)
        (inbox / "again.jsonl").write_bytes(first.content)
        await town.until_delivered("again")

        await town.stop()
        for file in town.state.glob("orchestrator.db*"):
            file.unlink()
        await town.start()
        await town.pass_time(6 * HOUR)

        assert len(town.jobs) == 1
        assert town.books().findings == ()

    live(scenario)
