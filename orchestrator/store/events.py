"""What happened, in order; written with each change of a state or a flag, never changed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from orchestrator.domain.ids import IdempotencyKey, SetId
from orchestrator.store.tables import batches, events


@dataclass(frozen=True, slots=True)
class Event:
    """One step. `token` is None for a step of the set itself.

    `source` is empty where something began; where it equals `target` a flag, or something
    else than the state, changed and `why` says what.
    """

    id: int
    at: datetime
    set_id: SetId
    token: IdempotencyKey | None
    source: str
    target: str
    why: str


def after(tx: Connection, event_id: int, limit: int, set_id: SetId | None = None) -> list[Event]:
    """Return up to `limit` events after the one with this id, oldest first."""
    query = (
        select(
            events.c.id,
            events.c.at,
            events.c.set_id,
            batches.c.token,
            events.c.source,
            events.c.target,
            events.c.why,
        )
        .join(batches, batches.c.id == events.c.batch_id, isouter=True)
        .where(events.c.id > event_id)
        .order_by(events.c.id)
        .limit(limit)
    )
    if set_id is not None:
        query = query.where(events.c.set_id == set_id)
    return [Event(*row) for row in tx.execute(query)]


def last_id(tx: Connection) -> int:
    """Return the id of the newest event, 0 when there is none."""
    return tx.scalar(select(func.max(events.c.id))) or 0
