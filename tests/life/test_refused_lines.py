"""Refused lines: a create that is refused for one line costs that line, and no other."""

from orchestrator.emulator.faults import Fault
from tests.life.town import Drop, Town, live


def _refusal(message: str) -> Fault:
    return Fault(do="answer", on="batches.create", status=400, message=message, times=1)


def test_a_refused_line_is_an_error_in_words_that_fit_the_input():
    """The line number of the file that was sent is not repeated to the user: it is not theirs."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("named", 4))
        await town.until_delivered()
        results = town.results("named")
        assert [one.get("error", {}).get("message") for one in results] == [
            None,
            "no such field: 'x'",
            None,
            None,
        ]

    live(scenario, faults=(_refusal("Error on line 2: no such field: 'x'"),))


def test_a_line_that_was_not_sent_is_looked_for_by_halves():
    """A refusal that names a line beyond the batch settles nothing; all requests are answered."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("beyond", 4))
        await town.until_delivered()
        assert all("response" in one for one in town.results("beyond"))
        assert sorted(job.count for job in town.jobs) == [2, 2]

    live(scenario, faults=(_refusal("Error on line 9: no such field: 'x'"),))


def test_a_line_zero_is_nobodys():
    """Line 0 does not stand for the first."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("zero", 4))
        await town.until_delivered()
        assert all("response" in one for one in town.results("zero"))

    live(scenario, faults=(_refusal("Error on line 0: no such field: 'x'"),))
