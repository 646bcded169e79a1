"""Many small drops at once are taken together: each as if it had come alone."""

from orchestrator.stages.intake import ROUND_MIN
from tests.life.town import Drop, Town, live

FLAWED = Drop("flawed", 3, flawed=frozenset({1}), options={"flaws_max_fraction": 0.5})
MANY = [Drop(f"set{number}", 1 + number % 3) for number in range(2 * ROUND_MIN)]


def test_many_small_drops_are_all_answered():
    """Plain ones, one with a flaw, one with options: each has its answers, in its own folder."""

    async def scenario(town: Town) -> None:
        town.drop(*MANY, FLAWED)
        await town.until_delivered()
        town.judge()

    live(scenario)


def test_of_drops_that_are_alike_one_is_run():
    """The same content under many names is paid for once, though it is taken together."""

    async def scenario(town: Town) -> None:
        town.drop(*(Drop(f"copy{number}", 2, like="first") for number in range(2 * ROUND_MIN)))
        await town.until_delivered()
        town.judge()
        assert len(town.jobs) == 1

    live(scenario)


def test_many_that_cannot_run_are_all_refused():
    """A round of which nothing is left to accept ends well: each drop has its refusal."""

    async def scenario(town: Town) -> None:
        wrong = {"model": "gemini-of-nobody"}
        town.drop(*(Drop(f"wrong{n}", 1, options=wrong) for n in range(ROUND_MIN)))
        rejected = town.state / "rejected"
        await town.until(lambda: sum(1 for _ in rejected.glob("*/summary.json")) == ROUND_MIN)
        assert town.findings == []

    live(scenario)
