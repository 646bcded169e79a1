"""What is settled is published, under a name that is free, once nothing of it is open."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.batches import Planned
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Flags,
    Indexed,
    Received,
    Running,
    SetInfo,
    Totals,
    index,
    reject,
    reuse,
)
from orchestrator.ports import Delivery, OutboxTaken, SourceChanged, SourceGone
from orchestrator.store import projects, request_sets as set_rows
from orchestrator.store.database import InlineDatabase
from orchestrator.store.transitions import apply
from tests.stages.desk import Desk, desk
from tests.store import values

DONE = Delivery("letters", Totals(999, 1), "5" * 64)
INFO = values.set_info()


async def running(ledger: InlineDatabase, *batches: Planned, answers: list[Any]) -> Desk:
    """Return a desk with a set whose batches are all collected."""
    here = await desk(ledger)
    await ledger.transact(values.start, INFO, *batches)
    await ledger.transact(values.collect_all, *batches)
    here.shelf.answers = answers
    return here


async def copied(ledger: InlineDatabase, first: str, answers: list[Any]) -> tuple[Desk, SetInfo]:
    """Return a desk with a drop that is answered from a first run in this state."""
    here = await desk(ledger)
    here.shelf.answers = answers
    again = values.set_info("again", fingerprint=INFO.fingerprint, answered_from=INFO.id)
    await ledger.transact(values.receive, INFO)
    await ledger.transact(values.receive, again)
    received = Received(INFO)
    if first == "rejected":
        await ledger.transact(apply, values.NOW, reject(received, "no", values.NOW))
    elif first == "delivered":
        accepted = index(received)
        over = reuse(accepted.after, DONE.totals, DONE.summary_sha256, values.NOW)
        await ledger.transact(apply, values.NOW, accepted, over)
    await ledger.transact(apply, values.NOW, index(Received(again)))
    return here, again


async def ask_for_its_end(here: Desk, info: SetInfo) -> None:
    """Let the operator cancel it."""
    asked = Flags(cancel_asked=True)
    await here.ledger.transact(set_rows.flag, values.NOW, info.id, Flags(), asked, "cancel")


async def test_a_settled_set_is_published(ledger: InlineDatabase) -> None:
    """With its cost, if that is known; then it is over."""
    batch = values.planned(of=INFO)
    here = await running(ledger, batch, answers=[DONE])
    await ledger.transact(projects.charge, batch.part.token, 1_500_000)
    stage = here.deliver()
    assert await stage.find() == [INFO.id]
    assert stage.name(INFO.id) == INFO.id

    await stage.do(INFO.id)

    over = (await here.stored(INFO.id)).value
    assert isinstance(over, Delivered)
    assert over.totals == DONE.totals
    assert here.shelf.asked == [("letters", None, "delivered")]
    await stage.do(INFO.id)
    assert len(here.shelf.asked) == 1


async def test_what_is_open_waits(ledger: InlineDatabase) -> None:
    """A set with open requests, one that is not yet running, one that is unknown: none is read."""
    here = await running(ledger, values.planned(of=INFO), answers=[DONE])
    here.folder.open = 1
    other = values.set_info("other")
    await ledger.transact(values.receive, other)
    for name in (INFO.id, other.id, values.set_info("nobody").id):
        await here.deliver().do(name)
    assert here.shelf.asked == []


async def test_a_taken_name_gets_a_number(ledger: InlineDatabase) -> None:
    """The folder is somebody else's: the next free name is on record before it is used."""
    here = await running(ledger, values.planned(of=INFO), answers=[OutboxTaken("foreign"), DONE])
    await here.deliver().do(INFO.id)
    moved = (await here.stored(INFO.id)).value
    assert isinstance(moved, Running)
    assert moved.info.outbox == "letters-2"
    await here.deliver().do(INFO.id)
    assert [name for name, _, _ in here.shelf.asked] == ["letters", "letters-2"]


async def test_an_input_that_is_gone_holds_the_set(ledger: InlineDatabase) -> None:
    """It holds the users' keys; it is delivered as soon as it is back."""
    here = await running(ledger, values.planned(of=INFO), answers=[SourceChanged("gone"), DONE])
    await here.deliver().do(INFO.id)
    assert here.account.held[0].startswith("input is gone: gone")
    await here.deliver().do(INFO.id)
    assert here.account.said[-1] == ("input_gone", None)
    assert isinstance((await here.stored(INFO.id)).value, Delivered)


async def test_a_cancelled_set_is_delivered_as_far_as_it_came(ledger: InlineDatabase) -> None:
    """What is open ends as an error; the set is cancelled, not delivered."""
    here = await running(ledger, values.planned(of=INFO), answers=[DONE])
    await ask_for_its_end(here, INFO)
    await here.deliver().do(INFO.id)
    assert here.folder.done == [("all", 1)]
    assert isinstance((await here.stored(INFO.id)).value, Cancelled)
    assert here.shelf.asked == [("letters", None, "cancelled")]


async def test_a_copy_gets_the_answers_of_its_first_run(ledger: InlineDatabase) -> None:
    """As soon as that is delivered; until then it waits."""
    here, again = await copied(ledger, "received", [DONE])
    await here.deliver().do(again.id)
    assert here.shelf.asked == []
    assert isinstance((await here.stored(again.id)).value, Indexed)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_copy_is_delivered_from_the_first_runs_folder(
    ledger: InlineDatabase,
    cancelled: bool,  # noqa: FBT001
) -> None:
    """Its end may be asked for: it gets what there is all the same."""
    here, again = await copied(ledger, "delivered", [DONE])
    if cancelled:
        await ask_for_its_end(here, again)
    await here.deliver().do(again.id)
    assert here.shelf.asked == [("again", INFO.folder, "delivered")]
    over = (await here.stored(again.id)).value
    assert isinstance(over, Cancelled if cancelled else Delivered)


@pytest.mark.parametrize("first", ["rejected", "delivered"])
async def test_a_copy_without_a_first_run_runs_itself(ledger: InlineDatabase, first: str) -> None:
    """The first run has no answers, or has them no more."""
    here, again = await copied(ledger, first, [SourceGone("removed")])
    await here.deliver().do(again.id)
    alone = (await here.stored(again.id)).value
    assert isinstance(alone, Indexed)
    assert alone.info == replace(again, answered_from=None, run=alone.info.run)
    assert alone.info.run > 0


async def test_a_copy_that_was_never_accepted_cannot_run_itself(ledger: InlineDatabase) -> None:
    """Asked to end before it was accepted, it waits for intake to say what it is."""
    here = await desk(ledger)
    await ledger.transact(values.receive, INFO)
    await ledger.transact(apply, values.NOW, reject(Received(INFO), "no", values.NOW))
    again = values.set_info("again", answered_from=INFO.id)
    await ledger.transact(values.receive, again)
    await here.deliver().do(again.id)
    assert isinstance((await here.stored(again.id)).value, Received)
