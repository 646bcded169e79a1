"""Out of doubt by evidence only: found, or proven absent, or a person's word."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from orchestrator.config.options import choose
from orchestrator.domain.batches import (
    Lapsed,
    LapseReason,
    Submitted,
    Submitting,
    Unsent,
    Uploaded,
    intend,
    question,
    stow,
)
from orchestrator.domain.evidence import SCANS_WEAK_MIN
from orchestrator.domain.ids import FileName
from orchestrator.domain.jobs import JobSnapshot, JobState
from orchestrator.domain.options import to_text
from orchestrator.domain.request_sets import Flags
from orchestrator.ports import Blocked, Unavailable
from orchestrator.stages.control import Control
from orchestrator.store import notices, request_sets as set_rows
from orchestrator.store.database import InlineDatabase
from orchestrator.store.transitions import apply
from tests.simulation.life import world_settings
from tests.stages.desk import POLICY, WINDOW, Desk, desk
from tests.store import values

KNOWN = values.snapshot("batches/known", "orc1-known")
LAG = POLICY.list_lag.total_seconds()


def options(generations: int) -> str:
    """Return a set's options with so many generations."""
    text = f'model = "gemini-2.5-flash"\nmax_generations = {generations}\n'
    return to_text(choose(world_settings(), "", text))


async def doubtful(
    ledger: InlineDatabase, doubt: str = "in_doubt", mode: str = "file", generations: int = 5
) -> tuple[Desk, Submitting]:
    """Return a desk with one batch in this doubt."""
    here = await desk(ledger)
    info = values.set_info(options=options(generations))
    planned = values.planned(of=info, mode=mode)
    await ledger.transact(values.start, info, planned)
    origin: Unsent = planned
    if mode == "file":
        file = FileName(f"files/{planned.part.token}")
        stowed = stow(planned, file, values.NOW + timedelta(hours=48))
        await ledger.transact(apply, values.NOW, stowed)
        origin = stowed.after
    intent = intend(origin, values.NOW, values.ACCOUNT, 1)
    moves = [intent]
    if doubt != "sending":
        moves.append(question(intent.after, "in_doubt", "503"))  # type: ignore[arg-type]
    if doubt in {"fenced", "held"}:
        moves.append(question(moves[-1].after, doubt, "absent"))  # type: ignore[arg-type]
    await ledger.transact(apply, values.NOW, *moves)
    return here, await here.doubtful(planned.part.token)


async def cancel(here: Desk, item: Submitting) -> None:
    """Ask for the end of the set."""
    name, asked = item.part.request_set, Flags(cancel_asked=True)
    await here.ledger.transact(set_rows.flag, values.NOW, name, Flags(), asked, "cancel")


def job_of(item: Submitting, name: str = "batches/a", **changes: object) -> JobSnapshot:
    """Return a job under the batch's token."""
    return values.snapshot(name, item.part.token, **changes)


def looks(here: Desk, until: float, *, count: int = 8, known: bool = True) -> None:
    """Read the list several times until then, each time whole."""
    began = here.clock.seconds
    for step in range(1, count + 1):
        here.clock.seconds = began + (until - began) * step / count
        here.look(controls=[KNOWN] if known else [])


# ---- found --------------------------------------------------------------------------------------


async def test_what_nobody_is_sending_is_found(ledger: InlineDatabase) -> None:
    """An intent of an earlier life is looked after, one that is being sent now is not."""
    here, item = await doubtful(ledger, "sending")
    stage = here.reconcile()
    assert await stage.find() == [item]
    assert stage.name(item) == item.part.token
    here.account.sending.now.add(item.part.token)
    assert await stage.find() == []


async def test_a_create_under_way_at_a_death_is_in_doubt(ledger: InlineDatabase) -> None:
    """Whoever died while sending does not know what became of it."""
    here, item = await doubtful(ledger, "sending")
    await here.reconcile().do(item)
    assert (await here.doubtful(item.part.token)).doubt == "in_doubt"


@pytest.mark.parametrize("key", [Blocked("no key", "give one"), "another0"])
async def test_another_accounts_list_proves_nothing(ledger: InlineDatabase, key: object) -> None:
    """Without its own key a doubt stays as it is, whatever the list shows."""
    here, item = await doubtful(ledger)
    here.provider.key = key
    here.look(job_of(item))
    await here.reconcile().do(item)
    assert await here.batch(item.part.token) == item


async def test_a_job_under_the_token_is_adopted(ledger: InlineDatabase) -> None:
    """The most advanced of several is kept, the others end and are booked."""
    here, item = await doubtful(ledger)
    over = job_of(item, "batches/over", state=JobState.FAILED)
    best = job_of(item, "batches/best", state=JobState.SUCCEEDED)
    here.look(job_of(item), over, best)
    here.account.sending.doubtful[item.part.token] = 0.0
    await here.reconcile().do(item)
    kept = await here.batch(item.part.token)
    assert isinstance(kept, Submitted)
    assert kept.job == best.name
    assert here.provider.ended == ["batches/a"]
    assert here.account.said == [("booked", "paid_twice_suspected")] * 2
    assert here.account.sending.doubtful == {}


async def test_twins_are_booked_though_none_can_be_cancelled_now(ledger: InlineDatabase) -> None:
    """The watcher cancels what is still listed; that they are there is told at once."""
    here, item = await doubtful(ledger)
    here.look(job_of(item), job_of(item, "batches/b"), job_of(item, "batches/c"))
    here.provider.cancelled = Unavailable("503")
    await here.reconcile().do(item)
    assert isinstance(await here.batch(item.part.token), Submitted)
    assert here.account.said == [("booked", "paid_twice_suspected")] * 2


@pytest.mark.parametrize("mode", ["inline", "file"])
async def test_a_job_with_another_file_is_somebody_elses(ledger: InlineDatabase, mode: str) -> None:
    """The second witness: the set is held, unless its end is asked for."""
    here, item = await doubtful(ledger, mode=mode)
    here.look(job_of(item, input_file=FileName("files/other")))
    await here.reconcile().do(item)
    assert "has the input file files/other" in here.account.held[0]
    assert await here.batch(item.part.token) == item

    await cancel(here, item)
    await here.reconcile().do(item)
    assert isinstance(await here.batch(item.part.token), Submitted)


# ---- proven absent ------------------------------------------------------------------------------


async def test_an_empty_list_is_no_proof(ledger: InlineDatabase) -> None:
    """Within the window nothing is believed; the next look is asked for."""
    here, item = await doubtful(ledger)
    looks(here, WINDOW / 2)
    await here.reconcile().do(item)
    assert await here.batch(item.part.token) == item
    assert here.account.looks != []


async def test_beyond_the_window_the_file_is_fenced_then_it_lapses(ledger: InlineDatabase) -> None:
    """Absent in sound lists: its file is deleted, a later sound list is awaited."""
    here, item = await doubtful(ledger)
    assert isinstance(item.origin, Uploaded)
    here.account.sending.doubtful[item.part.token] = 0.0
    looks(here, WINDOW + 1)
    await here.reconcile().do(item)
    fenced = await here.doubtful(item.part.token)
    assert fenced.doubt == "fenced"
    assert here.provider.ended == [item.origin.file]

    await here.reconcile().do(fenced)
    assert await here.batch(item.part.token) == fenced
    looks(here, here.clock.seconds + LAG + 1, count=2)
    await here.reconcile().do(fenced)
    over = await here.batch(item.part.token)
    assert isinstance(over, Lapsed)
    assert over.reason is LapseReason.ABSENT
    assert here.folder.done == [("released", item.part.token, None)]
    assert here.account.sending.fenced == {}


async def test_a_fence_that_cannot_be_put_up_is_tried_again(ledger: InlineDatabase) -> None:
    """While the file cannot be deleted, or after a restart, no absence is believed."""
    here, item = await doubtful(ledger, "fenced")
    here.provider.deleted = Unavailable("503")
    await here.reconcile().do(item)
    assert here.account.sending.fenced == {}
    here.provider.deleted = None
    await here.reconcile().do(item)
    assert here.account.sending.fenced == {item.part.token: 0.0}
    assert await here.batch(item.part.token) == item


async def test_behind_the_fence_many_looks_do_without_a_control(ledger: InlineDatabase) -> None:
    """No job is known to exist: so many lists, and later than the lag, must do."""
    here, item = await doubtful(ledger, "fenced")
    await here.reconcile().do(item)
    looks(here, LAG, count=2, known=False)
    looks(here, 3 * LAG, count=SCANS_WEAK_MIN, known=False)
    await here.reconcile().do(item)
    assert isinstance(await here.batch(item.part.token), Lapsed)


@pytest.mark.parametrize(("generations", "told"), [(1, True), (5, False)])
async def test_inline_it_lapses_by_the_window_alone(
    ledger: InlineDatabase,
    generations: int,
    told: bool,  # noqa: FBT001
) -> None:
    """There is no file to fence; without a control twice the window is waited, and booked."""
    here, item = await doubtful(ledger, mode="inline", generations=generations)
    here.account.sending.doubtful[item.part.token] = 0.0
    looks(here, 2 * WINDOW + 1, count=SCANS_WEAK_MIN, known=False)
    await here.reconcile().do(item)
    assert isinstance(await here.batch(item.part.token), Lapsed)
    assert here.account.said == [("booked", "weak_evidence")]
    ((_, _, last),) = here.folder.done
    assert (last is not None) is told


# ---- a person's word ----------------------------------------------------------------------------


async def test_with_hold_a_person_is_asked(ledger: InlineDatabase) -> None:
    """`in_doubt = "hold"`: nothing is deleted, nothing lapses, and they are told how to answer."""
    here, item = await doubtful(ledger)
    here.account.sending.doubtful[item.part.token] = 0.0
    looks(here, WINDOW + 1)
    stage = here.reconcile(replace(POLICY, hold=True))
    await stage.do(item)
    held = await here.doubtful(item.part.token)
    assert held.doubt == "held"
    await stage.do(held)
    assert await here.batch(item.part.token) == held
    assert here.provider.ended == []
    (told,) = await ledger.read(notices.due, here.clock.now(), 5)
    assert told.kind == "held"
    assert f"`orchestrator adopt {item.part.request_set} {item.part.token} JOB`" in told.body

    await cancel(here, item)
    await stage.do(held)
    assert (await here.doubtful(item.part.token)).doubt == "fenced"


async def test_resume_says_that_another_order_is_waited_for(ledger: InlineDatabase) -> None:
    """Nothing holds the set itself, so what its batch in doubt waits for is said instead."""
    here, item = await doubtful(ledger, "held")
    provider: Any = here.provider
    folder, account = cast("Any", here.folder), cast("Any", here.account)
    control = Control(here.journal, folder, provider, provider, here.clock, account)

    said = await control.resume(item.part.request_set)

    assert said.startswith("it is running already: nothing holds it; but in_doubt: ")
    assert f"`orchestrator absent {item.part.request_set} {item.part.token}`" in said
