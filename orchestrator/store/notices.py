"""Notifications to be sent, journaled so that each is sent at least once."""

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Integer, bindparam, select

from orchestrator.domain.ids import SetId
from orchestrator.domain.moments import written
from orchestrator.store.question import Question
from orchestrator.store.tables import notices

_DUE = Question(  # asked at every look
    select(*(column for column in notices.c if column.name != "done_at"))
    .where(notices.c.done_at.is_(None), notices.c.due_at <= bindparam("now"))
    .order_by(notices.c.due_at, notices.c.id)
    .limit(bindparam("most", type_=Integer))
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One notification. `body` is its JSON text, `tries` counts the failed attempts."""

    id: int
    at: datetime
    kind: str
    set_id: SetId | None
    body: str
    due_at: datetime
    tries: int
    error: str | None


def enqueue(tx: Connection, now: datetime, kind: str, set_id: SetId | None, body_json: str) -> int:
    """Journal a notification, due at once; returns its id."""
    values = {"at": now, "kind": kind, "set_id": set_id, "body": body_json, "due_at": now}
    statement = notices.insert().values(**values, tries=0).returning(notices.c.id)
    return int(tx.execute(statement).scalar_one())


def enqueue_held(tx: Connection, now: datetime, set_id: SetId, name: str, why: str) -> int:
    """Journal that a set, or a part of it, waits for the operator; returns the notice's id."""
    body = {"event": "held", "at": written(now), "set": set_id, "name": name, "why": why}
    return enqueue(tx, now, "held", set_id, json.dumps(body))


def due(tx: Connection, now: datetime, limit: int) -> list[Notice]:
    """Return what is to be sent now, what waited longest first."""
    return [Notice(**row) for row in _DUE.mappings(tx, now=now, most=limit)]


def done(tx: Connection, notice: int, now: datetime) -> None:
    """Record that it was sent."""
    tx.execute(notices.update().where(notices.c.id == notice).values(done_at=now, error=None))


def postpone(tx: Connection, notice: int, next_at: datetime, error: str) -> None:
    """Record that it could not be sent and when to try again."""
    tx.execute(
        notices.update()
        .where(notices.c.id == notice, notices.c.done_at.is_(None))
        .values(due_at=next_at, tries=notices.c.tries + 1, error=error)
    )


def prune(tx: Connection, before: datetime) -> int:
    """Forget what was sent before this time; returns how many."""
    return tx.execute(notices.delete().where(notices.c.done_at < before)).rowcount
