"""What was learned about an account."""

from datetime import timedelta

from hypothesis import given, strategies as st

from orchestrator.store import incidents, projects
from orchestrator.store.database import InlineDatabase
from orchestrator.store.projects import SEEN_BYTES_MAX, Block
from tests.store.values import DEFAULT, NOW, collect_all, planned, set_info, start

MODEL = "gemini-2.5-flash"
LATER = NOW + timedelta(hours=1)


async def test_a_block_says_why_and_since_when(ledger: InlineDatabase) -> None:
    """Told again, the words change and the beginning does not; unblocked, nothing is left."""
    assert await ledger.read(projects.blocked, DEFAULT) is None
    await ledger.transact(projects.block, NOW, DEFAULT, "the key is refused", "mend the key")
    await ledger.transact(projects.block, LATER, DEFAULT, "no credit", "pay")

    expected = Block("no credit", "pay", NOW)
    assert await ledger.read(projects.blocked, DEFAULT) == expected
    assert await ledger.read(projects.all_blocks) == {DEFAULT: expected}
    assert await ledger.transact(projects.unblock, DEFAULT)
    assert not await ledger.transact(projects.unblock, DEFAULT)
    assert await ledger.read(projects.all_blocks) == {}


async def test_a_refused_quota_halves_and_recovers(ledger: InlineDatabase) -> None:
    """The limit falls by half of what was in use, rises in steps, and ends at the configured."""
    assert await ledger.read(projects.token_limit, DEFAULT, MODEL) is None
    assert await ledger.transact(projects.halve, NOW, DEFAULT, MODEL, 1_000) == 500
    assert await ledger.transact(projects.halve, NOW, DEFAULT, MODEL, 2_000) == 250
    assert await ledger.read(projects.limit_changed_at, DEFAULT, MODEL) == NOW

    assert await ledger.transact(projects.recover, LATER, DEFAULT, MODEL, 1_000, 400) == 650
    assert await ledger.read(projects.token_limit, DEFAULT, MODEL) == 650
    assert await ledger.transact(projects.recover, LATER, DEFAULT, MODEL, 1_000, 400) is None
    assert await ledger.read(projects.token_limit, DEFAULT, MODEL) is None
    assert await ledger.transact(projects.recover, LATER, DEFAULT, MODEL, 1_000, 400) is None
    assert await ledger.read(projects.limit_changed_at, DEFAULT, MODEL) == LATER


async def test_a_limit_never_falls_to_nothing(ledger: InlineDatabase) -> None:
    """However often it is halved, one token is left."""
    limits = [await ledger.transact(projects.halve, NOW, DEFAULT, MODEL, 3) for _ in range(3)]

    assert limits == [1, 1, 1]


async def test_what_was_learned_is_told_by_model(ledger: InlineDatabase) -> None:
    """A limit that was learned, not a model of which only usage was seen."""
    await ledger.transact(projects.halve, NOW, DEFAULT, MODEL, 1_000)
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, "another", 1, 4)

    assert await ledger.read(projects.learned, DEFAULT) == {MODEL: 500}


async def test_models_learn_apart(ledger: InlineDatabase) -> None:
    """What one model refuses says nothing about another."""
    await ledger.transact(projects.halve, NOW, DEFAULT, MODEL, 1_000)

    assert await ledger.read(projects.token_limit, DEFAULT, "another") is None


async def test_tokens_are_calibrated_by_what_came_back(ledger: InlineDatabase) -> None:
    """Sum over sum, so that large batches weigh more; the default until something came."""
    assert await ledger.read(projects.tokens_per_byte, DEFAULT, MODEL) is None
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, MODEL, 100, 1_000)
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, MODEL, 500, 1_000)

    assert await ledger.read(projects.tokens_per_byte, DEFAULT, MODEL) == 0.3


async def test_nothing_seen_keeps_the_default(ledger: InlineDatabase) -> None:
    """A batch without answers calibrates nothing."""
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, MODEL, 0, 0)

    assert await ledger.read(projects.tokens_per_byte, DEFAULT, MODEL) is None


async def test_the_past_fades(ledger: InlineDatabase) -> None:
    """After many bytes the newer ones weigh as much as all before them."""
    half = SEEN_BYTES_MAX // 2 + 1
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, MODEL, half, half)
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, MODEL, 0, half)
    await ledger.transact(projects.observe_usage, NOW, DEFAULT, MODEL, 0, half)

    assert (await ledger.read(projects.tokens_per_byte, DEFAULT, MODEL) or 1.0) <= 0.26


async def test_money_is_what_answers_cost_and_incidents_wasted(ledger: InlineDatabase) -> None:
    """Charged twice a batch is paid once; sums can begin at any time and be of one set."""
    token = planned(1).part.token
    await ledger.transact(start, set_info(), planned(1), planned(2))
    await ledger.transact(collect_all, planned(1), planned(2))
    for _ in range(2):
        await ledger.transact(projects.charge, token, 700)
    await ledger.transact(incidents.book, LATER, "twin", token, "paid twice", 10, 50)
    await ledger.transact(incidents.book, NOW, "stray", None, "not ours", 10, 5)

    assert await ledger.read(projects.spend, NOW) == 755
    assert await ledger.read(projects.spend, LATER) == 50
    assert await ledger.read(projects.spend_of_set, set_info().id) == 750
    assert await ledger.read(projects.spend_of_set, set_info("other").id) == 0


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40))
def test_halving_makes_less_of_anything_above_one(present: int, used: int) -> None:
    """The new limit lies below both what was in use and what was allowed."""
    limit = projects.halved(present, used)

    assert limit >= 1
    assert limit < min(present, used) or min(present, used) == 1
