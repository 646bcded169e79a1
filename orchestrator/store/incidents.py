"""What went wrong and what it may have cost; booked, never forgotten."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from orchestrator.domain.ids import IdempotencyKey
from orchestrator.store.tables import incidents


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident; `cost_micros` estimates the waste in millionths of a dollar."""

    id: int
    at: datetime
    kind: str
    token: IdempotencyKey | None
    detail: str
    requests: int
    cost_micros: int


def book(  # noqa: PLR0913, PLR0917 - an entry has as many columns as it has
    tx: Connection,
    now: datetime,
    kind: str,
    token: IdempotencyKey | None,
    detail: str,
    requests: int,
    cost_micros: int,
) -> None:
    """Put an incident on record."""
    entry = {"at": now, "kind": kind, "token": token, "detail": detail}
    tx.execute(incidents.insert().values(**entry, requests=requests, cost_micros=cost_micros))


def all(tx: Connection) -> list[Incident]:  # noqa: A001 - read as incidents.all
    """Return every incident, the oldest first."""
    rows = tx.execute(select(incidents).order_by(incidents.c.id)).mappings()
    return [Incident(**row) for row in rows]
