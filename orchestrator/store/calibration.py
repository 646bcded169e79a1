"""What answers have taught about tokens, for the sets that are not over."""

from typing import Any

from sqlalchemy import bindparam, func, select

from orchestrator.domain.calibration import Estimates, Lesson, guess, rate
from orchestrator.domain.ids import SetId
from orchestrator.store.database import Tx
from orchestrator.store.question import Question
from orchestrator.store.tables import allowances, batches, request_sets as sets

_answered_bytes = batches.c.wire_bytes * batches.c.answered // batches.c.requests
_set = (
    sets.c.id,
    sets.c.tokens,
    sets.c.content_bytes,
    allowances.c.seen_tokens,
    allowances.c.seen_bytes,
)
_same_model = (allowances.c.project == sets.c.project) & (allowances.c.model == sets.c.model)
# Not by state: what is collected is much more than what is of an open set.
_collected = (batches.c.set_id == sets.c.id) & batches.c.collected_at.is_not(None)
_taught = (
    select(*_set, func.sum(batches.c.prompt), func.sum(_answered_bytes))
    .select_from(sets)
    .outerjoin(allowances, _same_model)
    .outerjoin(batches, _collected)
    .group_by(*_set)
)
_TAUGHT = Question(_taught.where(sets.c.state == "running"))
_TAUGHT_ABOUT = Question(_taught.where(sets.c.id == bindparam("set_id")))


def estimates(tx: Tx) -> Estimates:
    """Return what is known of the tokens of all sets that have batches and are not over."""
    rates = {SetId(name): _rate(*known) for name, *known in _TAUGHT.rows(tx)}
    return Estimates({name: known for name, known in rates.items() if known is not None})


def rate_of(tx: Tx, set_id: SetId) -> float | None:
    """Return the tokens by byte of one set, before its first batch, too; None: nobody taught it."""
    return next((_rate(*known) for _, *known in _TAUGHT_ABOUT.rows(tx, set_id=set_id)), None)


def _rate(
    tokens: int, size: int, of_model: Any, in_bytes: Any, own: Any, own_bytes: Any
) -> float | None:
    mine = Lesson(int(own or 0), int(own_bytes or 0))
    model = Lesson(int(of_model or 0), int(in_bytes or 0))
    return rate(guess(tokens, size), mine, model)
