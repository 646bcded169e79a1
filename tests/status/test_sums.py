"""What the board sums up as it changes is what is there."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings, strategies as st

from orchestrator.domain.batches import Submitted, Submitting
from orchestrator.domain.request_sets import Flags
from orchestrator.status.board import Board
from orchestrator.status.sums import STALE_MAX, Oldest, Running
from tests.store.values import NOW, batches_in_every_state, planned, set_info, sets_in_every_state

STEP = st.tuples(
    st.integers(0, 2),  # which set
    st.integers(0, 6),  # its state; beyond the last, it is forgotten
    st.sampled_from([Flags(), Flags(paused=True), Flags(held="why")]),
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 6), st.integers(0, 9)), max_size=3),
)


def board() -> Board:
    """Return an empty board."""
    return Board("1", 1, NOW, [], lambda _model, _usage: None)


def later(batch, minutes):
    """Return a batch that came to its state so many minutes later."""
    match batch:
        case Submitted():
            return replace(batch, submitted_at=NOW + timedelta(minutes=minutes))
        case Submitting():
            at = NOW + timedelta(minutes=minutes)
            return replace(batch, intended_at=at, doubt=("sending", "in_doubt")[minutes % 2])
        case _:
            return batch


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=12))
def test_the_sums_are_those_of_what_is_shown(steps):
    """Whatever sets come, change and go, in whatever order: as if they were summed up anew."""
    shown = board()
    for number, state, flags, changed in steps:
        info = set_info(f"set{number}", model=f"model{number % 2}", received_at=NOW)
        values = sets_in_every_state(info)
        if state == len(values):
            shown.forget(info.id)
            continue
        batches = [
            later(batches_in_every_state(planned(serial, of=info))[which], minutes)
            for serial, which, minutes in changed
        ]
        shown.put(values[state], flags, batches)

    anew = Running()
    for of in shown.folds:
        live = (one for one in shown.live if one.part.request_set == of.value.info.id)
        anew.add(of, live)
    assert shown.sums == anew.sums


def test_times_that_hold_no_longer_are_forgotten():
    """A set that changes for ever takes no more room for it."""
    oldest = Oldest()
    for minute in range(3 * STALE_MAX):
        oldest.put(set_info().id, NOW + timedelta(minutes=minute))

    assert len(oldest._queue) <= STALE_MAX + 2
    assert oldest.first() == NOW + timedelta(minutes=3 * STALE_MAX - 1)
