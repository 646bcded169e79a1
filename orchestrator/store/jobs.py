"""The provider's jobs that were seen: ours, twins of ours, and strays nobody here asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from sqlalchemy import Connection, select

from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.jobs import JobSnapshot, Unrecognised
from orchestrator.store.codecs import Row
from orchestrator.store.tables import jobs

Role: TypeAlias = Literal["ours", "twin", "stray"]
QUESTION_MAX = 500
DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class SeenJob:
    """A job as it was seen last; `token` is its display name, `state` as the service spells it."""

    name: JobName
    token: IdempotencyKey
    role: Role
    state: str
    model: str
    requests: int | None
    created_at: datetime | None
    first_seen: datetime
    last_seen: datetime


def record(tx: Connection, now: datetime, snapshot: JobSnapshot, role: Role) -> None:
    """Note that a job was seen; what it is called and whose it is never changes."""
    state = snapshot.state
    seen = {
        "role": role,
        "state": state.text if isinstance(state, Unrecognised) else state.value,
        "model": snapshot.model,
        "requests": snapshot.requests,
        "created_at": snapshot.created_at,
        "last_seen": now,
    }
    known = jobs.update().where(jobs.c.name == snapshot.name).values(seen)
    if tx.execute(known).rowcount == 0:
        identity = {"name": snapshot.name, "token": snapshot.display_name, "first_seen": now}
        tx.execute(jobs.insert().values(**identity, **seen))


def of_token(tx: Connection, token: IdempotencyKey) -> list[SeenJob]:
    """Return every job that was seen under a token, the first seen first."""
    query = select(jobs).where(jobs.c.token == token).order_by(jobs.c.first_seen, jobs.c.name)
    return [_seen(row) for row in tx.execute(query).mappings()]


def by_role(tx: Connection, role: Role) -> list[SeenJob]:
    """Return every job of this role, the first seen first."""
    query = select(jobs).where(jobs.c.role == role).order_by(jobs.c.first_seen, jobs.c.name)
    return [_seen(row) for row in tx.execute(query).mappings()]


def known(tx: Connection, names: Iterable[JobName]) -> dict[JobName, SeenJob]:
    """Return those of the jobs with these names that were seen before."""
    asked = list(names)
    found: dict[JobName, SeenJob] = {}
    for start in range(0, len(asked), QUESTION_MAX):
        query = select(jobs).where(jobs.c.name.in_(asked[start : start + QUESTION_MAX]))
        found |= {row["name"]: _seen(row) for row in tx.execute(query).mappings()}
    return found


def delete(tx: Connection, now: datetime, names: Iterable[JobName]) -> None:
    """Note that we deleted jobs at the provider; a list that lags may still show them."""
    for name in names:
        tx.execute(jobs.update().where(jobs.c.name == name).values(state=DELETED, last_seen=now))


def _seen(row: Row) -> SeenJob:
    return SeenJob(**row)
