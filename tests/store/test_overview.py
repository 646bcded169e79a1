"""The sums that the status board shows."""

from datetime import timedelta

from orchestrator.domain.batches import (
    LapseReason,
    Tally,
    Usage,
    confirm,
    end,
    intend,
    lapse,
    question,
)
from orchestrator.domain.ids import JobName
from orchestrator.domain.jobs import JobState
from orchestrator.domain.request_sets import Flags, Running, Totals as SetTotals, deliver
from orchestrator.store import incidents, overview, projects, request_sets
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.overview import Group
from orchestrator.store.transitions import apply
from tests.store.values import ACCOUNT, NOW, collect_all, planned, receive, set_info, start

INFO = set_info(flawed=7)
EARLY, LATE = NOW + timedelta(minutes=1), NOW + timedelta(minutes=2)


def in_every_room(tx: Tx) -> None:
    """Run one set whose batches are in as many states as there are."""
    start(tx, INFO, *(planned(serial, of=INFO) for serial in range(1, 7)))
    collect_all(tx, planned(1, of=INFO), planned(2, of=INFO))
    for serial, moment in ((3, LATE), (4, EARLY)):
        intent = intend(planned(serial, of=INFO), moment, ACCOUNT, 1)
        apply(tx, moment, intent, confirm(intent.after, JobName(f"batches/{serial}"), moment, ""))
    doubtful = intend(planned(5, of=INFO), NOW, ACCOUNT, 1)
    apply(tx, NOW, doubtful, question(doubtful.after, "in_doubt", "timeout"))


async def test_a_set_is_summed_over_its_batches(ledger: InlineDatabase) -> None:
    """Batches by state, requests settled, tokens, money, doubts and the age of the oldest job."""
    await ledger.transact(in_every_room)
    await ledger.transact(projects.charge, planned(1, of=INFO).part.token, 300)

    (seen,) = await ledger.read(overview.overview)

    one = Group(1, 10, 2_500, 600)
    two = Group(2, 20, 5_000, 1_200)
    assert seen.id == INFO.id
    assert seen.by_state == {
        "planned": one, "submitting": one, "submitted": two, "collected": two
    }  # fmt: skip
    assert seen.settled == 7 + 20
    assert seen.tally == Tally(answered=18, failed=2)
    assert seen.usage == Usage(1_200, 0, 1_800, 20)
    assert (seen.cost_micros, seen.generation, seen.doubtful) == (300, 1, 1)
    assert (seen.first_submitted_at, seen.oldest_job_at) == (NOW, EARLY)


async def test_a_set_without_batches_is_all_zeros(ledger: InlineDatabase) -> None:
    """Before anything was planned only the flaws are settled."""
    await ledger.transact(receive, INFO)

    (seen,) = await ledger.read(overview.overview)

    assert (seen.by_state, seen.settled, seen.cost_micros) == ({}, 7, None)
    assert (seen.first_submitted_at, seen.oldest_job_at) == (None, None)


async def test_lapsed_batches_settle_nothing(ledger: InlineDatabase) -> None:
    """What an expired job held is open again; no job of it is running any more."""
    batch = planned(of=INFO)
    intent = intend(batch, NOW, ACCOUNT, 1)
    confirmed = confirm(intent.after, JobName("batches/1"), NOW, "")
    ended = end(confirmed.after, JobState.EXPIRED, None, NOW)
    await ledger.transact(start, INFO, batch)
    await ledger.transact(apply, NOW, intent, confirmed, ended)
    await ledger.transact(apply, NOW, lapse(ended.after, LapseReason.EXPIRED, NOW, "48 h"))

    (seen,) = await ledger.read(overview.overview)

    assert (seen.settled, seen.oldest_job_at) == (7, None)
    assert seen.by_state == {"lapsed": Group(1, 10, 2_500, 600)}


async def test_finished_sets_come_after_open_ones_and_are_bounded(ledger: InlineDatabase) -> None:
    """The open ones by urgency, then the newest of the others, all of whose requests settled."""

    def fill(tx: Tx) -> None:
        for number in range(3):
            received_at = NOW + timedelta(minutes=number)
            info = set_info(f"done-{number}", received_at=received_at)
            start(tx, info, planned(of=info))
            collect_all(tx, planned(of=info))
            running = Running(info, 2_000_000_000)
            apply(tx, NOW, deliver(running, SetTotals(999, 1), "5" * 64, NOW))
        receive(tx, set_info("open"))

    await ledger.transact(fill)

    shown = await ledger.read(overview.overview, finished=2)

    assert [seen.stored.value.info.name for seen in shown] == ["open", "done-2", "done-1"]
    assert shown[1].settled == 1_000


async def test_single_sets_can_be_summed(ledger: InlineDatabase) -> None:
    """The same sums for sets that the caller has read already."""
    await ledger.transact(in_every_room)
    stored = await ledger.read(request_sets.get, INFO.id)
    assert stored is not None

    assert await ledger.read(overview.of_sets, stored) == await ledger.read(overview.overview)


async def test_totals_are_of_the_whole_ledger(ledger: InlineDatabase) -> None:
    """Sets and batches by state, what waits for the operator, and the money."""
    await ledger.transact(in_every_room)
    await ledger.transact(receive, set_info("other"))
    flags = Flags(paused=True, held="the source changed; drop it again")
    await ledger.transact(request_sets.flag, NOW, INFO.id, Flags(), flags, "held")
    await ledger.transact(projects.charge, planned(1, of=INFO).part.token, 300)
    await ledger.transact(incidents.book, NOW, "twin", None, "cancelled", 10, 40)

    seen = await ledger.read(overview.totals)

    assert seen.sets == {"received": 1, "running": 1}
    assert seen.batches == {"collected": 2, "planned": 1, "submitted": 2, "submitting": 1}
    assert (seen.held, seen.paused, seen.doubtful) == (1, 1, 1)
    assert (seen.incidents, seen.waste_micros, seen.cost_micros) == (1, 40, 300)
    assert (seen.usage, seen.oldest_job_at) == (Usage(1_200, 0, 1_800, 20), EARLY)


async def test_totals_of_an_empty_ledger_are_zeros(ledger: InlineDatabase) -> None:
    """Nothing is summed to nothing, not to an error."""
    seen = await ledger.read(overview.totals)

    assert (seen.sets, seen.batches, seen.cost_micros, seen.usage) == ({}, {}, 0, Usage())
    assert seen.oldest_job_at is None
