"""What answers have taught, as the ledger has it."""

from math import ceil

from orchestrator.domain.calibration import TOKENS_PER_BYTE, Estimates
from orchestrator.store import calibration, projects, queue
from orchestrator.store.database import InlineDatabase
from orchestrator.store.transitions import apply
from tests.store.values import DEFAULT, NOW, path_to_collected, planned, receive, set_info, start

INFO = set_info()


async def test_nothing_is_known_before_the_first_answers(ledger: InlineDatabase) -> None:
    """What was only planned and sent teaches nothing: tokens are those of the plan."""
    await ledger.transact(start, INFO, planned(1), planned(2))
    await ledger.transact(apply, NOW, *path_to_collected(planned(1))[:3])

    assert await ledger.read(calibration.estimates) == Estimates()
    assert (await ledger.read(queue.load)).tokens == {INFO.model: planned(1).part.tokens}


async def test_a_sets_own_answers_decide(ledger: InlineDatabase) -> None:
    """Prompt tokens over the bytes of what was answered, for what is in flight as well."""
    await ledger.transact(start, INFO, planned(1), planned(2))
    await ledger.transact(apply, NOW, *path_to_collected(planned(1)))
    await ledger.transact(apply, NOW, *path_to_collected(planned(2))[:3])
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, INFO.model, 9, 1)

    rate = 600 / (2_500 * 9 // 10)
    assert (await ledger.read(calibration.estimates)).rates == {INFO.id: rate}
    assert (await ledger.read(queue.load)).tokens == {INFO.model: ceil(2_500 * rate)}


async def test_a_model_corrects_what_was_guessed_of_other_sets(ledger: InlineDatabase) -> None:
    """A set without answers is guessed at, times what its model turned out to be more."""
    twice = int(4_000 * TOKENS_PER_BYTE * 2)
    await ledger.transact(start, INFO, planned(1))
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, INFO.model, twice, 4_000)

    known = await ledger.read(calibration.estimates)

    assert known.rates == {INFO.id: 2 * INFO.tokens / INFO.content_bytes}


async def test_sets_that_are_over_are_not_asked_about(ledger: InlineDatabase) -> None:
    """History costs nothing: only accepted sets that are not over have an estimate."""
    await ledger.transact(receive, INFO)
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, INFO.model, 9, 1)

    assert await ledger.read(calibration.estimates) == Estimates()
