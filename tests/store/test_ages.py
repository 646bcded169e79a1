"""Since when requests wait."""

from datetime import timedelta

from orchestrator.domain.request_sets import Running, Totals, deliver, reopen
from orchestrator.store import ages, jobs
from orchestrator.store.database import InlineDatabase
from orchestrator.store.transitions import apply
from tests.store.values import NOW, part, planned, receive, set_info, snapshot, start

INFO = set_info()
HOUR = timedelta(hours=1)
ONE, TWO = part(1), part(2)
WIDE = part(3, lo=ONE.lo, hi=TWO.hi, count=20, generation=2)


async def test_the_first_job_of_any_of_its_requests_counts(ledger: InlineDatabase) -> None:
    """Of a batch over the requests of two earlier ones, that of the older; twins are none."""
    await ledger.transact(start, INFO, planned(1), planned(2))
    await ledger.transact(jobs.record, NOW, snapshot("batches/0", ONE.token), "twin")
    await ledger.transact(jobs.record, NOW + 2 * HOUR, snapshot("batches/1", ONE.token), "ours")
    await ledger.transact(jobs.record, NOW + HOUR, snapshot("batches/2", TWO.token), "ours")

    assert await ledger.read(ages.first_sent, WIDE) == NOW + HOUR
    assert await ledger.read(ages.first_sent, ONE) == NOW + 2 * HOUR
    assert await ledger.read(ages.first_sent, part(4)) is None


async def test_what_was_given_up_and_reopened_is_young_again(ledger: InlineDatabase) -> None:
    """Jobs from before the operator's retry do not count."""
    totals = Totals(INFO.requests, 0)
    await ledger.transact(start, INFO, planned(1))
    await ledger.transact(jobs.record, NOW, snapshot("batches/1", ONE.token), "ours")
    over = deliver(Running(INFO, 2_000_000_000), totals, "5" * 64, NOW)
    again = reopen(over.after, "letters-2", 2_000_000_000)
    await ledger.transact(apply, NOW, over)
    await ledger.transact(apply, NOW + HOUR, again)

    assert await ledger.read(ages.first_sent, WIDE) is None
    assert await ledger.read(ages.models_waiting) == {INFO.model}


async def test_only_accepted_sets_wait(ledger: InlineDatabase) -> None:
    """A set that was not accepted waits for no model."""
    await ledger.transact(receive, INFO)

    assert await ledger.read(ages.models_waiting) == frozenset()
