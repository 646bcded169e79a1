"""Batches: their rows and what is asked of them."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, bindparam, func, literal, select

from orchestrator.domain.batches import LIVE_STATES, Batch, Planned, Usage
from orchestrator.domain.ids import IdempotencyKey, ProjectName, SetId
from orchestrator.store.codecs import USAGE_COLUMNS, batch_row, batch_value, fields_of
from orchestrator.store.columns import Time, one_of
from orchestrator.store.question import Question
from orchestrator.store.tables import batches, events, request_sets as sets

INSERT_MAX = 500
# What is asked at every look is built once; building a statement costs more than running it.
_OF_TOKEN = Question(select(batches).where(batches.c.token == bindparam("token")))
_OF_SET = Question(
    select(batches).where(batches.c.set_id == bindparam("set_id")).order_by(batches.c.serial)
)


@dataclass(frozen=True, slots=True)
class Count:
    """How many batches of one project and model are in one state, and what they hold."""

    project: ProjectName
    model: str
    state: str
    batches: int
    requests: int
    wire_bytes: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What the answers of one generation of a set used; None where no price was known."""

    model: str
    generation: int
    usage: Usage
    cost_micros: int | None


def insert(tx: Connection, now: datetime, *planned: Planned) -> None:
    """Register what was planned, all or nothing."""
    for start in range(0, len(planned), INSERT_MAX):
        rows = [batch_row(batch) for batch in planned[start : start + INSERT_MAX]]
        tx.execute(batches.insert(), rows)
        birth = select(
            literal(now, Time),
            batches.c.set_id,
            batches.c.id,
            literal(""),
            batches.c.state,
            literal(""),
        ).where(batches.c.token.in_([row["token"] for row in rows]))
        columns = ["at", "set_id", "batch_id", "source", "target", "why"]
        tx.execute(events.insert().from_select(columns, birth.order_by(batches.c.id)))


def get(tx: Connection, token: IdempotencyKey) -> Batch | None:
    """Return a batch by its token."""
    return next((batch_value(row) for row in _OF_TOKEN.mappings(tx, token=token)), None)


def of_set(tx: Connection, set_id: SetId) -> list[Batch]:
    """Return all batches of a set in the order of their serials."""
    return [batch_value(row) for row in _OF_SET.mappings(tx, set_id=set_id)]


def in_state(tx: Connection, *states: str) -> list[Batch]:
    """Return the batches in these states, those of the most urgent set first."""
    return [batch_value(row) for row in _in_state(states).mappings(tx)]


@lru_cache
def _in_state(states: tuple[str, ...]) -> Question:
    """Build what is asked at every look, once."""
    return Question(
        select(batches)
        .join(sets, sets.c.id == batches.c.set_id)
        .where(one_of(batches.c.state, *states))
        .order_by(sets.c.priority.desc(), sets.c.received_at, sets.c.id, batches.c.serial)
    )


def live(tx: Connection) -> list[Batch]:
    """Return every batch that may still bring answers, those of the most urgent set first."""
    return in_state(tx, *sorted(LIVE_STATES))


def tokens(tx: Connection, set_id: SetId | None) -> dict[IdempotencyKey, str]:
    """Return the state of every batch by its token, of one set or of all."""
    query = select(batches.c.token, batches.c.state)
    if set_id is not None:
        query = query.where(batches.c.set_id == set_id)
    return {IdempotencyKey(token): state for token, state in tx.execute(query)}


def counts(tx: Connection) -> list[Count]:
    """Return how many batches there are by project, model and state."""
    groups = (batches.c.project, batches.c.model, batches.c.state)
    sums = (batches.c.requests, batches.c.wire_bytes, batches.c.tokens)
    rows = tx.execute(
        select(*groups, func.count(), *(func.sum(column) for column in sums))
        .group_by(*groups)
        .order_by(*groups)
    )
    return [
        Count(project, model, state, int(number), int(requests), int(wire_bytes), int(tokens))
        for project, model, state, number, requests, wire_bytes, tokens in rows
    ]


def usage_of_model(tx: Connection, model: str) -> Usage:
    """Return what all collected batches of a model used, whatever their set."""
    sums = [func.coalesce(func.sum(batches.c[name]), 0).label(name) for name in USAGE_COLUMNS]
    of_model = (batches.c.model == model, batches.c.state == "collected")
    row = tx.execute(select(*sums).where(*of_model)).mappings().one()
    return Usage(**{name: int(used) for name, used in fields_of(row, USAGE_COLUMNS).items()})


def answers_counted(tx: Connection, model: str, set_id: SetId | None) -> int:
    """Return how many answers of a model were counted, of one set or of all."""
    query = select(func.coalesce(func.sum(batches.c.answered), 0))
    query = query.where(batches.c.model == model, batches.c.state == "collected")
    if set_id is not None:
        query = query.where(batches.c.set_id == set_id)
    return int(tx.execute(query).scalar_one())


def usage_of_set(tx: Connection, set_id: SetId) -> list[Spent]:
    """Return what a set used by model and generation."""
    sums = [func.sum(batches.c[name]).label(name) for name in USAGE_COLUMNS]
    groups = (batches.c.model, batches.c.generation)
    rows = tx.execute(
        select(*groups, *sums, func.sum(batches.c.cost_micros).label("cost_micros"))
        .where(batches.c.set_id == set_id, batches.c.state == "collected")
        .group_by(*groups)
        .order_by(*groups)
    )
    return [
        Spent(
            row["model"],
            row["generation"],
            Usage(**{name: int(used) for name, used in fields_of(row, USAGE_COLUMNS).items()}),
            None if row["cost_micros"] is None else int(row["cost_micros"]),
        )
        for row in rows.mappings()
    ]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """What collected batches of a model used of which no cost is known."""

    model: str
    usage: Usage


def unpriced_of_set(tx: Connection, set_id: SetId) -> list[Unpriced]:
    """Return by model what a set used at no known cost."""
    return _unpriced(tx, batches.c.set_id == set_id)


def unpriced_since(tx: Connection, since: datetime) -> list[Unpriced]:
    """Return by model what all sets used since a time at no known cost."""
    return _unpriced(tx, batches.c.collected_at >= since)


def _unpriced(tx: Connection, which: ColumnElement[bool]) -> list[Unpriced]:
    sums = [func.sum(batches.c[name]).label(name) for name in USAGE_COLUMNS]
    rows = tx.execute(
        select(batches.c.model, *sums)
        .where(which, batches.c.state == "collected", batches.c.cost_micros.is_(None))
        .group_by(batches.c.model)
    )
    return [
        Unpriced(
            row["model"],
            Usage(**{name: int(used) for name, used in fields_of(row, USAGE_COLUMNS).items()}),
        )
        for row in rows.mappings()
    ]
