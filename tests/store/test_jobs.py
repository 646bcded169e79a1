"""The provider's jobs, as they were seen."""

from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.jobs import JobState, Unrecognised
from orchestrator.store import jobs
from orchestrator.store.database import InlineDatabase
from tests.store.values import NOW, snapshot

LATER = NOW + timedelta(minutes=5)


async def test_a_job_is_seen_first_and_last(ledger: InlineDatabase) -> None:
    """Seen again, only what may change changes; the first sight is kept."""
    await ledger.transact(jobs.record, NOW, snapshot("batches/1", "t"), "ours")
    ended = snapshot("batches/1", "t", state=JobState.SUCCEEDED)

    await ledger.transact(jobs.record, LATER, ended, "ours")

    (seen,) = await ledger.read(jobs.of_token, IdempotencyKey("t"))
    assert (seen.state, seen.first_seen, seen.last_seen) == ("succeeded", NOW, LATER)
    assert (seen.name, seen.role, seen.requests, seen.created_at) == ("batches/1", "ours", 10, NOW)


async def test_a_state_nobody_knows_is_kept_as_it_is_spelt(ledger: InlineDatabase) -> None:
    """A new word of the service is recorded, not guessed at."""
    strange = snapshot("batches/1", "t", state=Unrecognised("BATCH_STATE_PONDERING"))

    await ledger.transact(jobs.record, NOW, strange, "stray")

    (seen,) = await ledger.read(jobs.by_role, "stray")
    assert seen.state == "BATCH_STATE_PONDERING"


async def test_a_token_has_one_job_of_ours_and_any_number_of_twins(ledger: InlineDatabase) -> None:
    """A second job of ours for one batch is refused; as a twin it is kept."""
    await ledger.transact(jobs.record, NOW, snapshot("batches/1", "t"), "ours")
    await ledger.transact(jobs.record, LATER, snapshot("batches/2", "t"), "twin")

    with pytest.raises(IntegrityError):
        await ledger.transact(jobs.record, LATER, snapshot("batches/3", "t"), "ours")

    found = await ledger.read(jobs.of_token, IdempotencyKey("t"))
    assert [(job.name, job.role) for job in found] == [("batches/1", "ours"), ("batches/2", "twin")]


async def test_known_jobs_are_told_from_new_ones(ledger: InlineDatabase) -> None:
    """Of a whole page of names, those seen before come back."""
    await ledger.transact(jobs.record, NOW, snapshot("batches/7", "t"), "ours")
    names = [JobName(f"batches/{number}") for number in range(1_200)]

    known = await ledger.read(jobs.known, names)

    assert known.keys() == {"batches/7"}


async def test_a_deleted_job_stays_known(ledger: InlineDatabase) -> None:
    """A list that lags may still show it, and it must not be taken for a stranger."""
    await ledger.transact(jobs.record, NOW, snapshot("batches/7", "t"), "ours")

    await ledger.transact(jobs.delete, LATER, [JobName("batches/7")])

    known = await ledger.read(jobs.known, [JobName("batches/7")])
    assert known[JobName("batches/7")].state == jobs.DELETED
