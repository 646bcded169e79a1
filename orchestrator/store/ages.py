"""Since when requests wait for their answers."""

from datetime import datetime

from sqlalchemy import bindparam, func, select

from orchestrator.domain.batches import Part
from orchestrator.store.columns import EPOCH, one_of
from orchestrator.store.database import Tx
from orchestrator.store.question import Question
from orchestrator.store.tables import batches, events, jobs, request_sets as sets

_overlapping = (
    (batches.c.set_id == bindparam("set_id"))
    & (batches.c.lo < bindparam("hi"))
    & (batches.c.hi > bindparam("lo"))
)
_FIRST_SENT = Question(
    select(func.min(jobs.c.first_seen))
    .select_from(batches)
    .join(jobs, jobs.c.token == batches.c.token)
    .where(_overlapping, jobs.c.role == "ours", jobs.c.first_seen >= bindparam("since"))
)
_REOPENED = Question(
    select(func.max(events.c.at)).where(
        events.c.set_id == bindparam("set_id"),
        events.c.batch_id.is_(None),
        one_of(events.c.source, "delivered", "cancelled"),
        events.c.target == "running",
    )
)
_MODELS = Question(
    select(sets.c.model).distinct().where(one_of(sets.c.state, "indexed", "running"))
)


def first_sent(tx: Tx, part: Part) -> datetime | None:
    """Return when the first job was seen that any request of a batch was in.

    The jobs of earlier generations count, those before the set was last reopened do not: what
    those left open had been given up. None if no such job was recorded.
    """
    (reopened,) = _REOPENED.scalars(tx, set_id=part.request_set)
    since = reopened or EPOCH
    place = {"set_id": part.request_set, "lo": part.lo, "hi": part.hi}
    (first,) = _FIRST_SENT.scalars(tx, **place, since=since)
    return first if isinstance(first, datetime) else None


def models_waiting(tx: Tx) -> frozenset[str]:
    """Return the models of the sets that are accepted and not over."""
    return frozenset(_MODELS.scalars(tx))
