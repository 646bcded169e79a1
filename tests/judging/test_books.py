"""The books excuse a second run of exactly those requests whose first answer the provider lost."""

from tests.judging.books import _held
from tests.life.town import Drop, Fault, Town, live


def test_of_an_output_that_is_cut_off_one_answer_is_lost() -> None:
    """Whatever the order of its lines, only the request whose line was cut may be asked again."""

    async def scenario(town: Town) -> None:
        town.drop(Drop("files", 12))
        await town.until_delivered()
        first, again = town.jobs
        assert (first.count, again.count) == (12, 1)
        held = _held(town.emulator)
        lost = [holding for holding in held.values() if holding[0].lost]
        assert [[one.job.id for one in holding] for holding in lost] == [[first.id, again.id]]
        town.judge()

    live(scenario, faults=(Fault(do="shuffle"), Fault(do="cut_last_line", times=1)))
