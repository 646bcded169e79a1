"""What answers have taught about tokens, for the sets that are not over."""

from sqlalchemy import func, select

from orchestrator.domain.calibration import Estimates, Lesson, guess, rate
from orchestrator.domain.ids import SetId
from orchestrator.store.columns import one_of
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
_TAUGHT = Question(
    select(*_set, func.sum(batches.c.prompt), func.sum(_answered_bytes))
    .select_from(sets)
    .outerjoin(allowances, _same_model)
    .outerjoin(batches, _collected)
    .where(one_of(sets.c.state, "indexed", "running"))
    .group_by(*_set)
)


def estimates(tx: Tx) -> Estimates:
    """Return what is known of the tokens of all sets that are accepted and not over."""
    rates: dict[SetId, float] = {}
    for set_id, tokens, size, of_model, in_bytes, own, own_bytes in _TAUGHT.rows(tx):
        mine = Lesson(int(own or 0), int(own_bytes or 0))
        model = Lesson(int(of_model or 0), int(in_bytes or 0))
        known = rate(guess(tokens, size), mine, model)
        if known is not None:
            rates[SetId(set_id)] = known
    return Estimates(rates)
