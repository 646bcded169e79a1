"""The caps on cost that hold batches back, judged by what is spent and what is in flight.

A batch that what was spent leaves no room for holds its set. One that only the estimates of what
is in flight stand against waits until those have told what they cost; what may never tell counts
as spent, and nobody waits for it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from orchestrator.daemon.money import Lessons, Purse
from orchestrator.domain import caps
from orchestrator.domain.batches import Part
from orchestrator.domain.calibration import Estimates
from orchestrator.domain.caps import Cap, Hold, Judged, Wait
from orchestrator.domain.ids import IdempotencyKey, SetId
from orchestrator.domain.moments import midnight
from orchestrator.domain.options import from_text
from orchestrator.store import (
    batches as batch_rows,
    calibration,
    projects,
    questions,
    request_sets,
)
from orchestrator.store.database import Tx
from orchestrator.store.questions import Flying
from orchestrator.store.request_sets import StoredSet


def verdict(tx: Tx, now: datetime, purse: Purse, part: Part) -> Hold | Wait | None:
    """Tell whether this batch may be paid now (None), has to wait, or holds its set."""
    books = _Books(tx, now, purse)
    return Wait() if _unmeasured(tx, purse, books.capped([part])) else books.judge(part)


def obstacle(tx: Tx, now: datetime, purse: Purse, part: Part) -> Hold | None:
    """Tell which cap this batch would break, whether or not it has to wait besides."""
    judged = _Books(tx, now, purse).judge(part)
    return judged if isinstance(judged, Hold) else None


def too_early(
    tx: Tx, now: datetime, purse: Purse, parts: Sequence[Part]
) -> frozenset[IdempotencyKey]:
    """Return those batches that wait until what is in flight has told what it costs."""
    books = _Books(tx, now, purse)
    capped = books.capped(parts)
    waiting = [part.token for part in capped if isinstance(books.judge(part), Wait)]
    return frozenset(waiting) | _unmeasured(tx, purse, capped)


def _unmeasured(tx: Tx, purse: Purse, capped: Sequence[Part]) -> frozenset[IdempotencyKey]:
    """Return those of which a first one of their model must tell what answers cost.

    No answer of the model was ever counted (and thoughts may be many times the prompt), and a
    batch of it is under way: estimates of more would be guesses upon a guess.
    """
    risky = [part for part in capped if part.kind == "generate" and part.model in purse.prices]
    if not risky:
        return frozenset()
    flying = questions.in_flight(tx, None)
    busy = {one.part.model for one in flying if not _is_stuck(one)}
    models = busy & {part.model for part in risky}
    unknown = {name for name in models if not batch_rows.usage_of_model(tx, name).prompt}
    return frozenset(part.token for part in risky if part.model in unknown)


def _is_stuck(flying: Flying) -> bool:
    """Tell whether a batch teaches nothing before the operator has spoken."""
    return flying.in_doubt or caps.is_stuck(flying.held)


class _Books:
    """What the ledger says of costs at one moment, each sum asked for once."""

    def __init__(self, tx: Tx, now: datetime, purse: Purse) -> None:
        self._tx, self._now, self._purse = tx, now, purse
        self._midnight = midnight(now)
        self._lessons = Lessons(tx)
        self._estimates: Estimates | None = None
        self._sets: dict[SetId, StoredSet] = {}
        self._caps: dict[SetId, tuple[Cap | None, int | None]] = {}
        self._sums: dict[SetId | None, Judged] = {}

    def judge(self, part: Part) -> Hold | Wait | None:
        """Tell what stands against a batch: a cap, what is in flight, or nothing."""
        own, day = self.caps_of(part.request_set)
        if own is None and day is None:
            return None
        estimate = self._estimate(part)
        if estimate is None and not self._set_of(part.request_set).flags.price_waived:
            return caps.unpriced(part.model)
        verdicts: list[Hold | Wait | None] = []
        if own is not None:
            judged = replace(self._sums_of(part.request_set), estimate=estimate)
            verdicts.append(caps.against_set(judged, own))
        if day is not None:
            judged = replace(self._sums_of(None), estimate=estimate)
            verdicts.append(caps.against_day(judged, day, self._now))
        holds = (verdict for verdict in verdicts if isinstance(verdict, Hold))
        waits = (verdict for verdict in verdicts if isinstance(verdict, Wait))
        return next(holds, None) or next(waits, None)

    def capped(self, parts: Sequence[Part]) -> Sequence[Part]:
        """Return those that any cap binds now."""
        return [part for part in parts if self.caps_of(part.request_set) != (None, None)]

    def caps_of(self, set_id: SetId) -> tuple[Cap | None, int | None]:
        """Return the set's own cap and that of the day, as far as they bind this set now."""
        if set_id not in self._caps:
            stored = self._set_of(set_id)
            choice = from_text(stored.value.info.options)
            settings = self._purse.cap_of(choice.profile)
            own = caps.cap_of_set(stored.flags, choice.cost_max_micros, settings)
            lifted = caps.is_day_lifted(stored.flags, self._now)
            self._caps[set_id] = own, None if lifted else self._purse.day_max
        return self._caps[set_id]

    def _set_of(self, set_id: SetId) -> StoredSet:
        if set_id not in self._sets:
            stored = request_sets.get(self._tx, set_id)
            assert stored is not None, f"{set_id} is not in the ledger"
            self._sets[set_id] = stored
        return self._sets[set_id]

    def _sums_of(self, set_id: SetId | None) -> Judged:
        """Return what a set (None: this day, all sets) has cost, and what is in flight of it.

        Answers that came before their model had a price cost what they would cost now.
        """
        if set_id not in self._sums:
            tx, purse, midnight = self._tx, self._purse, self._midnight
            if set_id is None:
                spent = projects.spend(tx, midnight)
                late = batch_rows.unpriced_since(tx, midnight)
            else:
                spent = projects.spend_of_set(tx, set_id)
                late = batch_rows.unpriced_of_set(tx, set_id)
            spent += sum(purse.cost(one.model, one.usage) or 0 for one in late)
            about, stuck = 0.0, 0
            for flying in questions.in_flight(tx, set_id):
                estimate = self._estimate(flying.part) or 0
                if _is_stuck(flying):
                    stuck += estimate
                else:
                    about += estimate * self._lessons.margin(flying.part)
            self._sums[set_id] = Judged(spent, math.ceil(about), None, stuck)
        return self._sums[set_id]

    def _estimate(self, part: Part) -> int | None:
        """Return what a batch will probably cost, its prompts and its answers as taught by now."""
        if self._estimates is None:
            self._estimates = calibration.estimates(self._tx)
        known = replace(part, tokens=self._estimates.tokens(part))
        return self._purse.estimate(known, *self._lessons.of(part))
