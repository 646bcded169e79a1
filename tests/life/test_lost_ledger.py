"""A lost ledger is built again from the folders and the job list; nothing is paid again."""

from orchestrator.emulator.faults import Fault
from orchestrator.store import fsck
from tests.life.town import DAY, HOUR, Drop, Town, live


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


def test_what_failed_is_retried_though_nothing_tells_of_its_tries():
    """The requests of a retry go into the generation that their own count of tries says."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("some", 3))
        await town.until_delivered()
        assert [one["error"]["code"] for one in town.results("some")] == [12] * 3
        await town.stop()
        for file in town.state.glob("orchestrator.db*"):
            file.unlink()
        await town.start()
        await town.pass_time(6 * HOUR)

        await town.control.retry(town.infos[-1].id)
        await town.until_delivered("some-2", within=DAY)

        assert all("response" in one for one in town.results("some-2"))

    refused = (Fault(do="fail", code=12, message="not offered", times=1),)
    live(scenario, faults=refused, config="[retention]\nwork_days = 2\n")


def test_a_ledger_that_is_built_again_is_sound_all_the_while():
    """A batch that the job list brings back has a set that has started, at every moment."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("some", 3))
        await town.until(lambda: any("submitted" in move for move in town.moves), step=5)
        await town.stop()
        for file in town.state.glob("orchestrator.db*"):
            file.unlink()
        town.emulator.faults.add([Fault(do="unavailable", on="models.get", times=5)])
        await town.start()

        broken = []
        for _ in range(90):
            await town.pass_time(20)
            broken += await town.read(fsck.check)
        await town.until_delivered()

        assert broken == []
        town.judge()

    live(scenario)
