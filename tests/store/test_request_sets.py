"""Sets: found, counted, retired."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from orchestrator.domain.ids import ContentHash, Fingerprint, SetId, set_id
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Flags,
    Received,
    Rejected,
    Running,
    SetInfo,
    Totals,
    cancel,
    deliver,
    index,
    rehome,
    reject,
)
from orchestrator.store import batches, events, jobs, lives, request_sets
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.errors import StaleTransition
from orchestrator.store.request_sets import OUTBOX_BYTES_MAX, StoredSet, cut
from orchestrator.store.transitions import apply
from tests.store.values import (
    INSTALL,
    NOW,
    collect_all,
    planned,
    receive,
    set_info,
    snapshot,
    start,
)

TOTALS = Totals(1_000, 0)


def later(minutes: int) -> dict[str, Any]:
    return {"received_at": NOW + timedelta(minutes=minutes)}


def rejected(tx: Tx, info: SetInfo) -> None:
    receive(tx, info)
    apply(tx, NOW, reject(Received(info), "too many flaws", NOW))


def cancelled(tx: Tx, info: SetInfo) -> None:
    receive(tx, info)
    apply(tx, NOW, cancel(Received(info), TOTALS, "5" * 64, NOW))


def delivered(tx: Tx, info: SetInfo) -> None:
    batch = planned(of=info)
    start(tx, info, batch)
    collect_all(tx, batch)
    apply(tx, NOW, deliver(Running(info, 2_000_000_000), TOTALS, "5" * 64, NOW))


async def test_a_set_is_found_by_every_name_it_has(ledger: InlineDatabase) -> None:
    """By id, by folder, and by name the newest."""
    old, new = (
        set_info(),
        set_info(id=SetId("bbbbbbbbbb"), folder="b", outbox="b", run=1, **later(1)),
    )
    await ledger.transact(receive, old)
    await ledger.transact(receive, new)

    assert await ledger.read(request_sets.get, old.id) == StoredSet(Received(old), Flags(), NOW)
    found = [
        await ledger.read(request_sets.find, old.id),
        await ledger.read(request_sets.find, "letters"),
        await ledger.read(request_sets.by_folder, old.folder),
    ]
    assert [stored.value.info for stored in found if stored] == [old, new, old]


@pytest.mark.parametrize(
    "flags", [Flags(paused=True), Flags(cancel_asked=True), Flags(held="crashed: plan")]
)
async def test_nothing_is_begun_for_a_set_that_was_stopped(
    ledger: InlineDatabase, flags: Flags
) -> None:
    """In the transaction that begins work the operator's last word counts, not an earlier look."""
    info = set_info()
    await ledger.transact(start, info)
    await ledger.read(request_sets.demand_work, info.id)
    await ledger.transact(request_sets.flag, NOW, info.id, Flags(), flags, "stopped")

    with pytest.raises(StaleTransition, match="no work of set"):
        await ledger.read(request_sets.demand_work, info.id)

    assert await ledger.read(request_sets.is_cancel_asked, info.id) == flags.cancel_asked


async def test_nothing_is_begun_for_a_set_that_is_over(ledger: InlineDatabase) -> None:
    """A finished set, and one that is not there, begin nothing."""
    await ledger.transact(cancelled, set_info())

    for name in (set_info().id, SetId("none")):
        with pytest.raises(StaleTransition):
            await ledger.read(request_sets.demand_work, name)


async def test_what_is_not_there_is_none(ledger: InlineDatabase) -> None:
    """An unknown name finds nothing and raises nothing."""
    assert await ledger.read(request_sets.get, SetId("none")) is None
    assert await ledger.read(request_sets.find, "none") is None
    assert await ledger.read(request_sets.by_folder, "none") is None
    assert await ledger.read(request_sets.first_run, Fingerprint("none")) is None
    assert await ledger.read(request_sets.page, state=None, after=None, limit=5) == []


async def test_open_sets_come_by_urgency(ledger: InlineDatabase) -> None:
    """The higher priority first, of equals the one that waits longest."""
    for name, priority, minutes in (("late", 0, 2), ("early", 0, 1), ("urgent", 9, 3)):
        await ledger.transact(receive, set_info(name, priority=priority, **later(minutes)))
    await ledger.transact(cancelled, set_info("over"))

    names = [stored.value.info.name for stored in await ledger.read(request_sets.open_sets)]
    assert names == ["urgent", "early", "late"]
    over = await ledger.read(request_sets.in_state, "cancelled", "delivered")
    assert [type(stored.value) for stored in over] == [Cancelled]


async def test_pages_show_each_set_once_the_newest_first(ledger: InlineDatabase) -> None:
    """Sets of the same moment and sets that arrive meanwhile disturb no page."""
    for number in range(7):
        await ledger.transact(receive, set_info(f"set-{number}", **later(number // 3)))
    seen: list[str] = []
    after = None

    while found := await ledger.read(request_sets.page, state=None, after=after, limit=3):
        seen += [stored.value.info.id for stored in found]
        after = seen[-1]
        await ledger.transact(receive, set_info(f"new-{len(seen)}", **later(99)))

    whole = [
        stored.value.info.id
        for stored in await ledger.read(request_sets.page, state=None, after=None, limit=99)
        if stored.value.info.name.startswith("set-")
    ]
    assert seen == whole
    assert len(set(seen)) == 7


async def test_pages_can_be_of_some_states_only(ledger: InlineDatabase) -> None:
    """The filter names states; an unknown cursor ends the pages."""
    await ledger.transact(receive, set_info("open"))
    await ledger.transact(rejected, set_info("refused"))

    only = await ledger.read(request_sets.page, state={"rejected"}, after=None, limit=9)

    assert [stored.value.info.name for stored in only] == ["refused"]
    assert isinstance(only[0].value, Rejected)
    assert await ledger.read(request_sets.page, state=None, after="unknown", limit=9) == []


async def test_the_first_run_answers_later_drops(ledger: InlineDatabase) -> None:
    """It is the newest run of its own that was neither rejected nor cancelled."""
    fingerprint = set_info().fingerprint
    await ledger.transact(delivered, set_info())
    again = {"fingerprint": fingerprint, **later(1)}
    await ledger.transact(delivered, set_info("second", run=1, **again))
    await ledger.transact(rejected, set_info("third", run=2, **again))
    await ledger.transact(cancelled, set_info("fourth", run=3, **again))
    await ledger.transact(
        receive, set_info("copy", run=1, answered_from=set_info("second").id, **again)
    )

    first = await ledger.read(request_sets.first_run, fingerprint)

    assert first is not None
    assert first.value.info.name == "second"
    assert await ledger.read(request_sets.next_run, fingerprint) == 4
    assert await ledger.read(request_sets.next_run, Fingerprint("another")) == 0


async def test_a_copy_number_is_never_given_twice(ledger: InlineDatabase) -> None:
    """Not even when the ledger was rebuilt in part and numbers below are missing."""
    content = set_info().content
    await ledger.transact(lives.set_install, INSTALL)
    assert await ledger.read(request_sets.next_copy, "letters", content, 0) == 0

    await ledger.transact(receive, set_info(id=set_id(INSTALL, "letters", content, 0, 1)))

    assert await ledger.read(request_sets.next_copy, "letters", content, 0) == 2
    assert await ledger.read(request_sets.next_copy, "letters", content, 1) == 0
    assert await ledger.read(request_sets.next_copy, "letters", ContentHash("d" * 64), 0) == 0


async def test_copies_are_counted_before_the_install_is_known(ledger: InlineDatabase) -> None:
    """Without an install there are no ids to be compared, only rows to be counted."""
    await ledger.transact(receive, set_info())

    assert await ledger.read(request_sets.next_copy, "letters", set_info().content, 0) == 1


async def test_outbox_names_are_numbered(ledger: InlineDatabase) -> None:
    """A name in use is followed by NAME-2, NAME-3; a rejected set gives its name back."""
    await ledger.transact(receive, set_info())
    await ledger.transact(receive, set_info("other", outbox="letters-2"))
    await ledger.transact(rejected, set_info("bad"))

    assert await ledger.read(request_sets.free_outbox, "letters") == "letters-3"
    assert await ledger.read(request_sets.free_outbox, "bad") == "bad"
    assert await ledger.read(request_sets.free_outbox, "new") == "new"


async def test_long_outbox_names_are_cut_at_a_character(ledger: InlineDatabase) -> None:
    """With its number a name still fits what a folder may be called."""
    longest = "ü" * 127 + "x"
    await ledger.transact(receive, set_info(outbox=longest))

    free = await ledger.read(request_sets.free_outbox, longest)

    assert free == "ü" * 126 + "-2"
    assert len(free.encode()) <= OUTBOX_BYTES_MAX


@given(st.text(), st.integers(0, 300))
def test_a_cut_name_is_a_beginning_of_the_name(name: str, size: int) -> None:
    """Cutting keeps whole characters and never exceeds the size."""
    name = name.encode("utf-8", "ignore").decode()

    short = cut(name, size)

    assert name.startswith(short)
    assert len(short.encode()) <= size
    assert len(name.encode()) > size or short == name


async def test_a_set_is_rehomed(ledger: InlineDatabase) -> None:
    """A new outbox name is recorded by a guarded move."""
    await ledger.transact(receive, set_info())

    await ledger.transact(apply, NOW, rehome(Received(set_info()), "letters-2"))

    stored = await ledger.read(request_sets.get, set_info().id)
    assert stored is not None
    assert stored.value == Received(replace(set_info(), outbox="letters-2"))
    with pytest.raises(StaleTransition):
        await ledger.transact(apply, NOW, index(Received(set_info())))


async def test_a_finished_set_is_retired_but_its_names_are_not(ledger: InlineDatabase) -> None:
    """Rows go, yet neither a run nor a copy number, so no token is ever derived again."""
    info = set_info()
    await ledger.transact(lives.set_install, INSTALL)
    await ledger.transact(delivered, info)
    token = planned().part.token
    await ledger.transact(jobs.record, NOW, snapshot("batches/1", token), "ours")
    last = await ledger.read(events.last_id)

    (old,) = await ledger.read(request_sets.finished_before, NOW + timedelta(days=8), 10)
    await ledger.transact(request_sets.delete, info.id)

    assert isinstance(old.value, Delivered)
    assert await ledger.read(request_sets.get, info.id) is None
    assert await ledger.read(batches.get, token) is None
    assert await ledger.read(jobs.of_token, token) == []
    assert await ledger.read(events.after, 0, 100) == []
    assert await ledger.read(request_sets.next_run, info.fingerprint) == 1
    assert await ledger.read(request_sets.next_copy, info.name, info.content, 0) == 1
    await ledger.transact(receive, set_info("next"))
    assert await ledger.read(events.last_id) == last + 1


async def test_what_is_young_open_or_copied_is_not_retired(ledger: InlineDatabase) -> None:
    """Only sets that nothing happened to since, and that answer no other set that is there."""
    await ledger.transact(receive, set_info("open"))
    await ledger.transact(delivered, set_info("first"))
    first = set_info("first").id
    await ledger.transact(receive, set_info("copy", run=1, answered_from=first))

    assert await ledger.read(request_sets.finished_before, NOW, 10) == []
    assert await ledger.read(request_sets.finished_before, NOW + timedelta(days=8), 10) == []
