"""What waits for its turn, and what is held at the provider."""

from dataclasses import replace
from datetime import timedelta
from math import ceil

from orchestrator.domain.admission import Candidate, Load
from orchestrator.domain.batches import confirm, intend, postpone
from orchestrator.domain.calibration import Estimates
from orchestrator.domain.ids import JobName
from orchestrator.domain.request_sets import Flags
from orchestrator.store import queue, request_sets
from orchestrator.store.database import InlineDatabase
from orchestrator.store.transitions import apply
from tests.store.values import (
    ACCOUNT,
    NOW,
    path_to_collected,
    planned,
    receive,
    set_info,
    start,
)

INFO = set_info()


async def test_what_is_due_waits_by_set_and_serial(ledger: InlineDatabase) -> None:
    """The sets by urgency, and of each its batches in order, with the rank of their set."""
    other = set_info("other", priority=3)
    inline = planned(3, mode="inline")
    await ledger.transact(start, INFO, planned(1), planned(2), inline)
    await ledger.transact(start, other, planned(of=other))

    waiting = await ledger.read(queue.waiting, NOW)

    assert waiting == [
        Candidate(planned(of=other), 3, NOW),
        *(Candidate(batch, 0, NOW) for batch in (planned(1), planned(2), inline)),
    ]


async def test_of_a_giant_set_only_the_first_wait(ledger: InlineDatabase) -> None:
    """Few files are uploaded ahead of their turn; what is uploaded does not stand in their way."""
    many = [planned(serial) for serial in range(1, queue.UPLOADS_OF_A_SET_MAX + 4)]
    await ledger.transact(start, INFO, *many)
    await ledger.transact(apply, NOW, path_to_collected(many[1])[0])

    waiting = await ledger.read(queue.waiting, NOW)

    assert [one.batch.part.serial for one in waiting] == [1, 2, 3, 4, 5]


async def test_what_may_not_start_does_not_wait(ledger: InlineDatabase) -> None:
    """Neither what is paused, nor what is not accepted, nor any batch before its time."""
    paused, early = set_info("paused"), set_info("early")
    await ledger.transact(start, paused, planned(of=paused))
    await ledger.transact(request_sets.flag, NOW, paused.id, Flags(), Flags(paused=True), "paused")
    await ledger.transact(receive, early)
    later = replace(planned(), not_before=NOW + timedelta(seconds=1))
    await ledger.transact(start, INFO, later)

    assert await ledger.read(queue.waiting, NOW) == []
    soon = NOW + timedelta(seconds=1)
    assert len(await ledger.read(queue.waiting, soon)) == 1


async def test_an_uploaded_batch_waits_until_it_is_postponed(ledger: InlineDatabase) -> None:
    """With its file it waits for its create; postponed, it waits for its time."""
    stowed = path_to_collected(planned())[0]
    await ledger.transact(start, INFO, planned())
    await ledger.transact(apply, NOW, stowed)

    (waiting,) = await ledger.read(queue.waiting, NOW)
    assert waiting.batch == stowed.after

    await ledger.transact(apply, NOW, postpone(stowed.after, NOW + timedelta(hours=1), "429"))
    assert await ledger.read(queue.waiting, NOW) == []


async def test_the_load_is_what_is_at_the_provider(ledger: InlineDatabase) -> None:
    """Jobs and tokens from the intent on, files as soon as they are there and until collected."""
    inline = planned(3, mode="inline")
    await ledger.transact(start, INFO, planned(1), planned(2), inline, planned(4), planned(5))
    await ledger.transact(apply, NOW, path_to_collected(planned(1))[0])
    intended = intend(inline, NOW, ACCOUNT, 1)
    confirmed = confirm(intended.after, JobName("batches/3"), NOW, "")
    await ledger.transact(apply, NOW, intended, confirmed)
    await ledger.transact(apply, NOW, *path_to_collected(planned(4))[:4])
    await ledger.transact(apply, NOW, *path_to_collected(planned(5)))

    sent = await ledger.read(queue.load)

    taught = 600 / (2_500 * 9 // 10)  # by the answers of the fifth
    tokens = {INFO.model: ceil(2_500 * taught)}
    assert sent == Load(1, 2 * 2_500, tokens, {INFO.id: 1}, Estimates({INFO.id: taught}))


async def test_an_idle_project_holds_nothing(ledger: InlineDatabase) -> None:
    """Without batches the load is empty."""
    assert await ledger.read(queue.load) == Load()


async def test_it_is_known_when_what_waits_becomes_due(ledger: InlineDatabase) -> None:
    """Between two of the times the answer stays the same, so it need not be asked again."""
    later = replace(planned(2), not_before=NOW + timedelta(hours=1))
    await ledger.transact(start, INFO, planned(1), planned(3), later)

    assert await ledger.read(queue.due_times) == [planned(1).not_before, later.not_before]
