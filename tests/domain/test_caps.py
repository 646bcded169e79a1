"""Caps on cost: which binds, what lifts it, and how amounts are told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from orchestrator.domain import caps
from orchestrator.domain.caps import Cap, HeldBy, Hold, Judged, Wait
from orchestrator.domain.request_sets import Flags

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
JUDGED = Judged(spent=400_000, in_flight=0, estimate=200_000)
CAP = Cap(500_000, "the cap of the settings")
HOLDS = {
    HeldBy.SET: caps.against_set(JUDGED, CAP),
    HeldBy.DAY: caps.against_day(JUDGED, 500_000, NOW),
    HeldBy.PRICE: caps.unpriced("gemini-2.5-flash"),
}
AMOUNTS = st.integers(0, 1_000)
LIFTED = {
    HeldBy.SET: Flags(cap_lifted=True),
    HeldBy.DAY: Flags(day_lifted_until=MIDNIGHT),
    HeldBy.PRICE: Flags(price_waived=True),
}


def laid(cap: HeldBy, over: Flags | None = None) -> Flags:
    """Flags of a set that a cap holds."""
    hold = HOLDS[cap]
    assert isinstance(hold, Hold)
    return replace(over or Flags(), held=hold.why, held_until=hold.until)


@pytest.mark.parametrize("cap", HeldBy)
def test_resume_lifts_what_held_and_nothing_else(cap):
    """Each hold is known by its first word, and lifting it changes one thing."""
    flags = laid(cap)

    assert caps.resumed(flags, NOW, None) == LIFTED[cap]
    assert caps.held_by(flags) is cap


@pytest.mark.parametrize("held", [None, "crashed: plan failed", "vanished: max_cost: x"])
def test_other_holds_lift_no_cap(held):
    """A hold by something else is ended, and every cap stays."""
    flags = Flags(paused=True, held=held)

    assert caps.held_by(flags) is None
    assert caps.resumed(flags, NOW, None) == Flags()
    assert caps.allowances(flags, Flags()) == []


@given(st.lists(st.sampled_from(HeldBy), max_size=6))
def test_what_was_lifted_stays_lifted(order):
    """Holds that are lifted one after the other add up, each told once when it is lifted."""
    flags = Flags()

    for cap in order:
        after = caps.resumed(laid(cap, flags), NOW, None)
        assert len(caps.allowances(flags, after)) == (after != flags)
        flags = after

    assert flags.cap_lifted == (HeldBy.SET in order)
    assert flags.price_waived == (HeldBy.PRICE in order)
    assert caps.is_day_lifted(flags, NOW) == (HeldBy.DAY in order)
    assert not caps.is_day_lifted(flags, MIDNIGHT)


def test_a_day_that_was_held_before_times_were_kept_ends_at_midnight():
    """A day's hold without its end is lifted for the day on which the operator speaks."""
    flags = Flags(held="max_cost_per_day: $5.00 spent")

    assert caps.resumed(flags, NOW, None).day_lifted_until == MIDNIGHT


@pytest.mark.parametrize("held", [None, "crashed: plan failed", "vanished: max_cost: x"])
def test_sending_again_ends_every_hold_but_those_by_caps(held):
    """What holds a set is judged anew; a cap is lifted by `resume` alone, a day by its end."""
    day = replace(laid(HeldBy.DAY), cancel_asked=True)

    assert caps.retried(Flags(cancel_asked=True, paused=True, held=held), NOW) == Flags()
    assert caps.retried(day, NOW) == laid(HeldBy.DAY)
    assert caps.retried(day, MIDNIGHT) == Flags()
    assert caps.retried(laid(HeldBy.SET), MIDNIGHT) == laid(HeldBy.SET)


def test_a_batch_that_no_day_has_room_for_waits_for_the_operator():
    """Alone above the cap it would be held again each day: its hold has no end, and says so."""
    fits = caps.against_day(JUDGED, 500_000, NOW)
    never = caps.against_day(Judged(0, 0, 500_001), 500_000, NOW)

    assert isinstance(fits, Hold)
    assert isinstance(never, Hold)
    assert (fits.until, never.until) == (MIDNIGHT, None)
    assert "it goes on at 2026-03-02 00:00 UTC" in fits.why
    assert "no day has room for it: `orchestrator resume`" in never.why


def test_a_given_cap_is_the_set_s_own():
    """It goes before options and settings, and a cap that was lifted comes back with it."""
    flags = caps.resumed(Flags(cap_lifted=True), NOW, 700_000)

    assert flags == Flags(cap_micros=700_000)
    assert caps.cap_of_set(flags, 1, 2) == Cap(700_000, "the cap given with `resume`")
    assert caps.allowances(Flags(), flags) == ["it may cost up to $0.70"]


def test_options_go_before_settings():
    """What the file says holds; without it what the settings say; lifted: neither."""
    assert caps.cap_of_set(Flags(), 1, 2) == Cap(1, "the cap of its options")
    assert caps.cap_of_set(Flags(), None, 2) == Cap(2, "the cap of the settings")
    assert caps.cap_of_set(Flags(), None, None) is None
    assert caps.cap_of_set(Flags(cap_lifted=True), 1, 2) is None


def test_a_batch_of_unknown_cost_counts_as_nothing():
    """Run without a price, a set stops only where the others have spent more than the cap."""
    assert caps.against_set(Judged(500_000, 0, None), CAP) is None
    assert isinstance(caps.against_set(Judged(500_001, 0, None), CAP), Hold)


def test_holds_by_caps_leave_alone_what_is_in_flight():
    """Nobody has to speak before its answers come; of a vanished job none will."""
    assert not any(caps.is_stuck(laid(cap).held) for cap in HeldBy)
    assert not caps.is_stuck(None)
    assert caps.is_stuck("vanished: the service no longer knows it")


def test_what_is_stuck_is_told():
    """A batch that has no room beside it on any day is held without an end, and hears of it."""
    hold = caps.against_day(Judged(100_000, 0, 300_000, 200_000), 400_000, NOW)

    assert isinstance(hold, Hold)
    assert hold.until is None
    assert "about $0.20 may be owed for jobs that wait for your word" in hold.why


@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS)
def test_only_what_is_spent_or_stuck_holds(paid, stuck, in_flight, estimate, limit):
    """What is in flight lets a batch wait; nothing is sent that would probably break the cap."""
    judged = Judged(paid, in_flight, estimate, stuck)
    spent = paid + stuck

    for verdict in (
        caps.against_set(judged, Cap(limit, "it")),
        caps.against_day(judged, limit, NOW),
    ):
        match verdict:
            case None:
                assert spent + in_flight + estimate <= limit
            case Wait():
                assert spent + estimate <= limit < spent + in_flight + estimate
            case Hold():
                assert spent + estimate > limit


@pytest.mark.parametrize(
    ("micros", "written"),
    [(0, "$0"), (1, "$0.000001"), (12, "$0.000012"), (4_321, "$0.0043"), (43_210, "$0.043"),
     (100_000, "$0.10"), (1_234_567_890, "$1234.57")],
)  # fmt: skip
def test_amounts_have_the_digits_they_need(micros, written):
    """Small ones have two digits that say something, the others whole cents."""
    assert caps.usd(micros) == written


@given(st.integers(1, 10**15))
def test_no_amount_looks_like_nothing(micros):
    """Whatever is more than nothing is written so, within one part in ten."""
    written = float(caps.usd(micros).removeprefix("$"))

    assert written > 0
    assert abs(written * 1_000_000 / micros - 1) <= 0.1


@given(st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis wants them naive
def test_the_next_day_is_ahead(now):
    """It begins at midnight, within a day."""
    begins = caps.next_day(now)

    assert timedelta(0) < begins - now <= timedelta(days=1)
    assert (begins.hour, begins.minute, begins.second, begins.microsecond) == (0, 0, 0, 0)
