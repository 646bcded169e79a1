"""Caps on cost: which of them binds a set, what a hold by one says, and what lifts it.

The operator's `resume` lifts what held the set and nothing else. After a hold by its own cap the
set has none any more (or a new one, if the operator gave one); after a hold by the cap of a day it
may go beyond that day's, not the next one's; after a hold for want of a price it runs without one.
Amounts are millionths of a US dollar.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from orchestrator.domain.moments import midnight
from orchestrator.domain.request_sets import Flags, is_held_by

MICROS = 1_000_000
STUCK = "may be owed for jobs that wait for your word (see `orchestrator status`)"
# Holds that leave alone what is at the provider: its answers come, and tell their cost.
GO_ON = frozenset({"refused", "source_changed", "max_cost", "max_cost_per_set", "max_cost_per_day"})


class HeldBy(StrEnum):
    """Which cap holds a set: the word that the reason of its hold begins with."""

    PRICE = "max_cost"
    SET = "max_cost_per_set"
    DAY = "max_cost_per_day"


@dataclass(frozen=True, slots=True)
class Hold:
    """Why nothing new starts for a set; `until` is when that ends by itself, None if never."""

    why: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cap:
    """The most that a set may cost, and whose word it is."""

    micros: int
    named: str


@dataclass(frozen=True, slots=True)
class Wait:
    """What is in flight has to tell its cost first."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a batch would add (None without a price) to what is spent and what is in flight.

    `stuck` is about what those jobs may cost of which nothing will be told before the operator
    has spoken.
    """

    spent: int
    in_flight: int
    estimate: int | None
    stuck: int = 0

    @property
    def certain(self) -> int:
        """What it would come to if all that is in flight and not stuck cost nothing."""
        return self.spent + self.stuck + (self.estimate or 0)

    @property
    def probable(self) -> int:
        """What it will probably come to."""
        return self.certain + self.in_flight


def held_by(flags: Flags) -> HeldBy | None:
    """Tell which cap holds a set, None where none does."""
    return next((cap for cap in HeldBy if is_held_by(flags, cap)), None)


def is_stuck(held: str | None) -> bool:
    """Tell whether the jobs of a set that this holds may never tell what they cost."""
    return held is not None and held.partition(":")[0] not in GO_ON


def cap_of_set(flags: Flags, options: int | None, settings: int | None) -> Cap | None:
    """Return the cap that binds a set: the operator's word, else its options', else the settings'.

    What the settings say holds as they are now, not as they were when the set was dropped.
    """
    if flags.cap_lifted:
        return None
    if flags.cap_micros is not None:
        return Cap(flags.cap_micros, "the cap given with `resume`")
    if options is not None:
        return Cap(options, "the cap of its options")
    return None if settings is None else Cap(settings, "the cap of the settings")


def is_day_lifted(flags: Flags, now: datetime) -> bool:
    """Tell whether a set may go beyond the cap of the present day."""
    return flags.day_lifted_until is not None and now < flags.day_lifted_until


def next_day(now: datetime) -> datetime:
    """Return when the next day begins."""
    return midnight(now) + timedelta(days=1)


def resumed(flags: Flags, now: datetime, cap: int | None) -> Flags:
    """Lift what holds the set, and nothing else; `cap` is its own from now on, if one is given."""
    after = replace(flags, paused=False, held=None, held_until=None)
    match held_by(flags):
        case HeldBy.SET:
            after = replace(after, cap_lifted=True, cap_micros=None)
        case HeldBy.DAY:
            until = flags.held_until or next_day(now)
            after = replace(after, day_lifted_until=until) if until > now else after
        case HeldBy.PRICE:
            after = replace(after, price_waived=True)
        case None:
            pass
    return after if cap is None else replace(after, cap_lifted=False, cap_micros=cap)


def retried(flags: Flags, now: datetime) -> Flags:
    """Withdraw what ended the set, and what held it but a cap: the rest is judged anew.

    A cap is not lifted by sending again: that takes the word of whoever pays (`resume`).
    """
    after = replace(flags, cancel_asked=False, paused=False)
    is_over = flags.held_until is not None and flags.held_until <= now
    if held_by(flags) is not None and not is_over:
        return after
    return replace(after, held=None, held_until=None)


def allowances(before: Flags, after: Flags) -> Sequence[str]:
    """Say what an order to resume has lifted."""
    lifted: list[str] = []
    if after.cap_micros is not None and after.cap_micros != before.cap_micros:
        lifted.append(f"it may cost up to {usd(after.cap_micros)}")
    if after.cap_lifted and not before.cap_lifted:
        lifted.append("it has no cap of its own any more, max_cost_per_day still holds")
    if after.price_waived and not before.price_waived:
        lifted.append("it runs without a price, so what it costs counts towards no cap")
    until = after.day_lifted_until
    if until is not None and until != before.day_lifted_until:
        lifted.append(f"it may go beyond max_cost_per_day until {moment(until)}")
    return lifted


# ---- what a hold says -----------------------------------------------------------------------


def against_set(judged: Judged, cap: Cap) -> Hold | Wait | None:
    """Hold a set that would cost more than its own cap; let it wait where it only may."""
    if judged.certain <= cap.micros:
        return Wait() if judged.probable > cap.micros else None
    return Hold(
        f"{HeldBy.SET}: {usd(judged.spent)} spent, {_next(judged)}, "
        f"{cap.named} is {usd(cap.micros)}; "
        "`orchestrator resume` runs it to its end without a cap of its own, "
        "with `--cap USD` up to a new one"
    )


def against_day(judged: Judged, limit: int, now: datetime) -> Hold | Wait | None:
    """Hold a set until the next day: all sets together would cost more than this one's cap.

    A batch that is above the cap of any day (beside what is stuck) fits on no other either: that
    hold does not end.
    """
    if judged.certain <= limit:
        return Wait() if judged.probable > limit else None
    until = None if judged.certain - judged.spent > limit else next_day(now)
    why = f"{HeldBy.DAY}: {usd(judged.spent)} spent today, {_next(judged)}, "
    why += f"the cap is {usd(limit)}; "
    why += "no day has room for it: " if until is None else f"it goes on at {moment(until)}, "
    return Hold(f"{why}`orchestrator resume` lets this set go beyond the cap of today", until)


def unpriced(model: str) -> Hold:
    """Hold a set whose cost nobody can know although a cap is set."""
    return Hold(
        f"{HeldBy.PRICE}: no price is set for {model}, so no cap can be kept; "
        f'add [pricing."{model}"] and reload, '
        "or `orchestrator resume` runs the set without a price"
    )


def moment(when: datetime) -> str:
    """Write a moment as it stands in messages."""
    return f"{when:%Y-%m-%d %H:%M} UTC"


def micros_of(dollars: Decimal) -> int:
    """Return an amount in millionths of a US dollar; what is less than one is nothing."""
    return int(dollars * MICROS)


def usd(micros: int) -> str:
    """Write an amount with as many digits as tell it from nothing."""
    if micros == 0:
        return "$0"
    cents_are_enough = micros >= 100_000
    decimals = 2 if cents_are_enough else min(8 - len(str(micros)), 6)
    return f"${micros / 1_000_000:.{decimals}f}"


def _next(judged: Judged) -> str:
    if judged.estimate is None:
        return "what this batch adds is not known"
    stuck = "" if judged.stuck == 0 else f"about {usd(judged.stuck)} {STUCK}, "
    return f"{stuck}this batch about {usd(judged.estimate)}"
