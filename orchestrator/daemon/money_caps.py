"""The caps on cost that hold batches back, judged with what is in flight as spent."""

from collections.abc import Sequence
from datetime import datetime

from orchestrator.daemon.money import Lessons, Purse
from orchestrator.domain import caps
from orchestrator.domain.batches import Part
from orchestrator.domain.caps import Cap, Hold, Judged
from orchestrator.domain.ids import IdempotencyKey, SetId
from orchestrator.domain.options import from_text
from orchestrator.store import batches as batch_rows, projects, questions, request_sets
from orchestrator.store.database import Tx
from orchestrator.store.request_sets import StoredSet


def obstacle(tx: Tx, now: datetime, purse: Purse, part: Part) -> Hold | None:
    """Tell which cap this batch would break, None if it may be paid."""
    stored = _set_of(tx, part.request_set)
    own, day = _caps(stored, purse, now)
    if own is None and day is None:
        return None
    lessons = Lessons(tx)
    estimate = purse.estimate(part, *lessons.of(part))
    if estimate is None and not stored.flags.price_waived:
        return caps.unpriced(part.model)
    if own is not None:
        judged = Judged(_of_set(tx, purse, lessons, part.request_set), estimate)
        if judged.breaks(own.micros):
            return caps.over_set(judged, own)
    if day is not None:
        judged = Judged(_of_day(tx, purse, lessons, now), estimate)
        if judged.breaks(day):
            return caps.over_day(judged, day, now)
    return None


def unmeasured(
    tx: Tx, now: datetime, purse: Purse, parts: Sequence[Part]
) -> frozenset[IdempotencyKey]:
    """Return those batches of which a first one of their model must tell what answers cost.

    A cap binds them, no answer of the model was ever counted (and thoughts may be many times the
    prompt), and a batch of it is under way: estimates of more would be guesses upon a guess.
    """
    priced = [part for part in parts if part.kind == "generate" and part.model in purse.prices]
    capped = {
        name
        for name in {part.request_set for part in priced}
        if _caps(_set_of(tx, name), purse, now) != (None, None)
    }
    risky = [part for part in priced if part.request_set in capped]
    if not risky:
        return frozenset()
    busy = {part.model for part in questions.in_flight(tx, None)}
    models = busy & {part.model for part in risky}
    unknown = {name for name in models if not batch_rows.usage_of_model(tx, name).prompt}
    return frozenset(part.token for part in risky if part.model in unknown)


def _caps(stored: StoredSet, purse: Purse, now: datetime) -> tuple[Cap | None, int | None]:
    """Return the set's own cap and that of the day, as far as they bind this set now."""
    choice = from_text(stored.value.info.options)
    settings = purse.cap_of(choice.profile)
    own = caps.cap_of_set(stored.flags, choice.cost_max_micros, settings)
    return own, None if caps.is_day_lifted(stored.flags, now) else purse.day_max


def _of_set(tx: Tx, purse: Purse, lessons: Lessons, set_id: SetId) -> int:
    """Return what a set has cost and what is in flight of it will."""
    late = _priced_late(purse, batch_rows.unpriced_of_set(tx, set_id))
    return projects.spend_of_set(tx, set_id) + late + _in_flight(tx, purse, lessons, set_id)


def _of_day(tx: Tx, purse: Purse, lessons: Lessons, now: datetime) -> int:
    """Return what all sets have cost since midnight (UTC) and what is in flight will."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    late = _priced_late(purse, batch_rows.unpriced_since(tx, midnight))
    return projects.spend(tx, midnight) + late + _in_flight(tx, purse, lessons, None)


def _priced_late(purse: Purse, unpriced: Sequence[batch_rows.Unpriced]) -> int:
    """Return what answers cost that came before their model had a price: it has one by now."""
    return sum(purse.cost(one.model, one.usage) or 0 for one in unpriced)


def _in_flight(tx: Tx, purse: Purse, lessons: Lessons, set_id: SetId | None) -> int:
    parts = questions.in_flight(tx, set_id)
    return sum(purse.estimate(part, *lessons.of(part)) or 0 for part in parts)


def _set_of(tx: Tx, set_id: SetId) -> StoredSet:
    stored = request_sets.get(tx, set_id)
    assert stored is not None, f"{set_id} is not in the ledger"
    return stored
