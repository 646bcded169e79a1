"""Short questions of the stages."""

from datetime import timedelta

from orchestrator.domain.batches import drop
from orchestrator.domain.ids import JobName, Ordinal, SetId, file_name
from orchestrator.domain.request_sets import Flags, Received, Running, Totals, deliver, index
from orchestrator.store import jobs, questions, request_sets
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.transitions import apply
from tests.store.values import (
    NOW,
    collect_all,
    path_to_collected,
    planned,
    receive,
    set_info,
    snapshot,
    start,
)

INFO = set_info()
TOKEN = planned().part.token
JOB = JobName(f"batches/{TOKEN[11:]}")


async def test_folders_are_known(ledger: InlineDatabase) -> None:
    """Each set has one, and it is settled once the set was accepted."""
    accepted = set_info("accepted")
    await ledger.transact(receive, INFO)
    await ledger.transact(receive, accepted)
    await ledger.transact(apply, NOW, index(Received(accepted)))

    assert await ledger.read(questions.folder, INFO.id) == INFO.folder
    assert await ledger.read(questions.settled_folders) == {accepted.folder}


async def test_the_next_outbox_name_counts_on(ledger: InlineDatabase) -> None:
    """A name that somebody else took is followed by the next number."""
    await ledger.transact(receive, set_info("other", outbox="letters-3"))

    assert await ledger.read(questions.next_outbox, "letters") == "letters-2"
    assert await ledger.read(questions.next_outbox, "letters-2") == "letters-3-2"
    assert await ledger.read(questions.next_outbox, "a-b") == "a-b-2"


async def test_live_batches_and_jobs_of_a_set(ledger: InlineDatabase) -> None:
    """What may still bring answers, and every job ever seen under the set's tokens."""
    await ledger.transact(start, INFO, planned(1), planned(2))
    assert await ledger.read(questions.in_flight, INFO.id) == []

    await ledger.transact(apply, NOW, *path_to_collected(planned(1))[:3])
    await ledger.transact(jobs.record, NOW, snapshot("batches/twin", TOKEN), "twin")
    await ledger.transact(jobs.record, NOW, snapshot("batches/stray", "other"), "stray")

    assert await ledger.read(questions.jobs_of_set, INFO.id) == {JOB, "batches/twin"}
    flying = [questions.Flying(planned(1).part, held=None, in_doubt=False)]
    assert await ledger.read(questions.in_flight, INFO.id) == flying
    assert await ledger.read(questions.in_flight, None) == flying
    assert await ledger.read(questions.in_flight, SetId("none")) == []


async def test_a_set_without_live_batches_is_to_be_planned(ledger: InlineDatabase) -> None:
    """Nothing planned yet, or all of it over; the most urgent first. What lapsed is named."""
    fresh, unread = set_info("fresh", priority=2), set_info("unread")
    await ledger.transact(start, INFO, planned(1))
    await ledger.transact(start, fresh)
    await ledger.transact(receive, unread)
    assert await ledger.read(questions.unplanned, 9) == [fresh.id]
    assert await ledger.read(questions.lapsed) == []

    await ledger.transact(apply, NOW, drop(planned(1), NOW, "planned anew"))

    assert await ledger.read(questions.unplanned, 9) == [fresh.id, INFO.id]
    assert await ledger.read(questions.unplanned, 1) == [fresh.id]
    assert await ledger.read(questions.lapsed) == [(INFO.id, planned(1).part.token)]


async def test_what_may_not_start_is_not_planned(ledger: InlineDatabase) -> None:
    """Neither what is paused or held, nor what is being cancelled; that is to be delivered."""
    flags = Flags(paused=True), Flags(held="wait"), Flags(cancel_asked=True)
    for number, flag in enumerate(flags):
        info = set_info(f"set{number}")
        await ledger.transact(start, info)
        await ledger.transact(request_sets.flag, NOW, info.id, Flags(), flag, "asked")

    assert await ledger.read(questions.unplanned, 9) == []
    every = {set_info(f"set{number}").id for number in range(len(flags))}
    assert set(await ledger.read(questions.answered)) == every


async def test_what_was_never_planned_is_not_answered(ledger: InlineDatabase) -> None:
    """An accepted set is asked about at a delivery once something was planned, or it is a copy."""
    await ledger.transact(receive, INFO)
    await ledger.transact(apply, NOW, index(Received(INFO)))
    assert await ledger.read(questions.answered) == []

    await ledger.transact(start, set_info("running"))

    assert await ledger.read(questions.answered) == [set_info("running").id]


async def test_controls_are_jobs_of_ours(ledger: InlineDatabase) -> None:
    """Twins and strays prove nothing about the list."""
    await ledger.transact(jobs.record, NOW, snapshot("batches/1", "t"), "ours")
    await ledger.transact(jobs.record, NOW, snapshot("batches/2", "t"), "twin")

    assert await ledger.read(questions.controls) == {"batches/1"}


async def test_remains_are_told_until_they_are_deleted(ledger: InlineDatabase) -> None:
    """A batch that is over may have a job and a file there; live ones are not touched."""
    await ledger.transact(start, INFO, planned(1), planned(2))
    await ledger.transact(apply, NOW, *path_to_collected(planned(1)))
    await ledger.transact(apply, NOW, drop(planned(2), NOW, "cancelled"))
    await ledger.transact(jobs.record, NOW, snapshot(JOB, TOKEN), "ours")

    collected, dropped = await ledger.read(questions.remains)
    assert (collected.token, collected.job, collected.finished_at) == (TOKEN, JOB, None)
    assert collected.file is not None
    assert (dropped.job, dropped.file) == (None, file_name(planned(2).part.token, 1))
    assert await ledger.read(questions.remains, INFO.id) == [collected, dropped]
    assert await ledger.read(questions.remains, SetId("none")) == []
    await ledger.transact(jobs.delete, NOW, [JOB])
    assert await ledger.read(questions.remains) == [dropped]
    assert await ledger.read(questions.controls) == frozenset()


async def test_overlaps_with_live_batches_are_seen(ledger: InlineDatabase) -> None:
    """Any shared request counts while its batch is live; touching envelopes share none."""
    await ledger.transact(start, INFO, planned(2))

    def ask(lo: int, hi: int):
        return ledger.read(questions.overlaps, INFO.id, Ordinal(lo), Ordinal(hi))

    assert [await ask(0, 10), await ask(20, 30)] == [False, False]
    assert [await ask(0, 11), await ask(19, 30), await ask(12, 13)] == [True, True, True]
    await ledger.transact(apply, NOW, drop(planned(2), NOW, "cancelled"))
    assert not await ask(0, 30)


async def test_a_finished_folder_waits_for_open_copies(ledger: InlineDatabase) -> None:
    """Answers that another set still needs are not removed."""

    def finish(tx: Tx) -> None:
        start(tx, INFO, planned())
        collect_all(tx, planned())
        apply(tx, NOW, deliver(Running(INFO, 2_000_000_000), Totals(999, 1), "5" * 64, NOW))

    soon = NOW + timedelta(days=1)
    await ledger.transact(finish)
    assert await ledger.read(questions.finished_folders, NOW) == []
    finished = questions.FinishedFolder(INFO.id, INFO.folder, NOW)
    assert await ledger.read(questions.finished_folders, soon) == [finished]

    await ledger.transact(receive, set_info("copy", answered_from=INFO.id))

    assert await ledger.read(questions.finished_folders, soon) == []
