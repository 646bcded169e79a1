"""One read for the status board: what every set has come to, in sums over its batches."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, case, func, select

from orchestrator.domain.batches import Tally, Usage
from orchestrator.domain.ids import SetId
from orchestrator.domain.request_sets import OPEN_STATES, is_open
from orchestrator.store import request_sets
from orchestrator.store.codecs import TALLY_COLUMNS, USAGE_COLUMNS, Row, fields_of
from orchestrator.store.request_sets import StoredSet
from orchestrator.store.tables import batches, incidents, request_sets as sets

AT_PROVIDER = ("submitted",)
FINISHED_SHOWN_MAX = 200
QUESTION_MAX = 500


@dataclass(frozen=True, slots=True)
class Group:
    """What the batches of one set in one state sum up to; bytes are as sent."""

    batches: int = 0
    requests: int = 0
    wire_bytes: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class SetOverview:
    """A set and the sums over its batches.

    `settled` counts requests whose final line is known: flawed, answered, failed or given up; a
    finished set has settled them all. `oldest_job_at` is when the oldest job that still runs was
    submitted. `cost_micros` is None while no price was known for anything.
    """

    stored: StoredSet
    by_state: Mapping[str, Group]
    settled: int
    tally: Tally
    usage: Usage
    cost_micros: int | None
    generation: int
    doubtful: int
    first_submitted_at: datetime | None
    oldest_job_at: datetime | None

    @property
    def id(self) -> SetId:
        """The set's id."""
        return self.stored.value.info.id


@dataclass(frozen=True, slots=True)
class Totals:
    """The whole ledger in numbers; sets and batches by state."""

    sets: Mapping[str, int]
    batches: Mapping[str, int]
    held: int
    paused: int
    doubtful: int
    incidents: int
    waste_micros: int
    usage: Usage
    cost_micros: int
    oldest_job_at: datetime | None


_BY_SET_AND_STATE = select(
    batches.c.set_id,
    batches.c.state,
    func.count().label("batches"),
    *(func.sum(batches.c[name]).label(name) for name in ("requests", "wire_bytes", "tokens")),
    *(func.sum(batches.c[name]).label(name) for name in (*TALLY_COLUMNS, *USAGE_COLUMNS)),
    func.sum(batches.c.cost_micros).label("cost_micros"),
    func.max(batches.c.generation).label("generation"),
    func.sum(case((batches.c.doubt != "sending", 1), else_=0)).label("doubtful"),
    func.min(batches.c.submitted_at).label("first_submitted_at"),
).group_by(batches.c.set_id, batches.c.state)


@dataclass(slots=True)
class _Sums:
    by_state: dict[str, Group] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    usage: Usage = field(default_factory=Usage)
    cost_micros: int | None = None
    generation: int = 0
    doubtful: int = 0
    first_submitted_at: datetime | None = None
    oldest_job_at: datetime | None = None


def overview(tx: Connection, *, finished: int = FINISHED_SHOWN_MAX) -> list[SetOverview]:
    """Return all open sets, the most urgent first, then the `finished` newest of the others."""
    over = request_sets.page(
        tx, state={"delivered", "rejected", "cancelled"}, after=None, limit=finished
    )
    shown = [*request_sets.open_sets(tx), *over]
    sums = _sums(tx, [stored.value.info.id for stored in shown])
    return [_overview(stored, sums[stored.value.info.id]) for stored in shown]


def of_sets(tx: Connection, *shown: StoredSet) -> list[SetOverview]:
    """Return the overviews of these sets."""
    sums = _sums(tx, [stored.value.info.id for stored in shown])
    return [_overview(stored, sums[stored.value.info.id]) for stored in shown]


def totals(tx: Connection) -> Totals:
    """Return the whole ledger in numbers."""
    used = tx.execute(
        select(
            *(func.coalesce(func.sum(batches.c[name]), 0).label(name) for name in USAGE_COLUMNS),
            func.coalesce(func.sum(batches.c.cost_micros), 0).label("cost_micros"),
        )
    ).mappings()
    row = used.one()
    count, waste = tx.execute(
        select(func.count(), func.coalesce(func.sum(incidents.c.cost_micros), 0)).select_from(
            incidents
        )
    ).one()
    unfinished = sets.c.state.in_(sorted(OPEN_STATES))
    return Totals(
        sets=_by_state(tx, sets.c.state),
        batches=_by_state(tx, batches.c.state),
        held=_count(tx, unfinished, sets.c.held.is_not(None)),
        paused=_count(tx, unfinished, sets.c.paused.is_(True)),
        doubtful=_count(tx, batches.c.state == "submitting", batches.c.doubt != "sending"),
        incidents=count,
        waste_micros=int(waste),
        usage=_usage(row),
        cost_micros=int(row["cost_micros"]),
        oldest_job_at=tx.scalar(
            select(func.min(batches.c.submitted_at)).where(batches.c.state.in_(AT_PROVIDER))
        ),
    )


def _sums(tx: Connection, ids: list[SetId]) -> dict[SetId, _Sums]:
    found: dict[SetId, _Sums] = defaultdict(_Sums)
    for start in range(0, len(ids), QUESTION_MAX):
        query = _BY_SET_AND_STATE.where(batches.c.set_id.in_(ids[start : start + QUESTION_MAX]))
        for row in tx.execute(query).mappings():
            _add(found[row["set_id"]], row)
    return found


def _add(sums: _Sums, row: Row) -> None:
    state = row["state"]
    sums.by_state[state] = Group(
        row["batches"], int(row["requests"]), int(row["wire_bytes"]), int(row["tokens"])
    )
    sums.generation = max(sums.generation, row["generation"])
    sums.first_submitted_at = _earlier(sums.first_submitted_at, row["first_submitted_at"])
    if state == "submitting":
        sums.doubtful = int(row["doubtful"])
    if state in AT_PROVIDER:
        sums.oldest_job_at = row["first_submitted_at"]
    if state == "collected":
        sums.tally = Tally(**_integers(row, TALLY_COLUMNS))
        sums.usage = _usage(row)
        sums.cost_micros = None if row["cost_micros"] is None else int(row["cost_micros"])


def _overview(stored: StoredSet, sums: _Sums) -> SetOverview:
    return SetOverview(
        stored=stored,
        by_state=sums.by_state,
        settled=_settled(stored, sums.tally),
        tally=sums.tally,
        usage=sums.usage,
        cost_micros=sums.cost_micros,
        generation=sums.generation,
        doubtful=sums.doubtful,
        first_submitted_at=sums.first_submitted_at,
        oldest_job_at=sums.oldest_job_at,
    )


def _settled(stored: StoredSet, tally: Tally) -> int:
    info = stored.value.info
    if not is_open(stored.value):
        return info.requests
    # What was settled outside of an answer, or failed and was asked for again, is not counted
    # apart: the sum may be off by those until the set is finished, never beyond the set.
    return min(info.flawed + tally.answered + tally.failed + tally.given_up, info.requests)


def _usage(row: Row) -> Usage:
    return Usage(**_integers(row, USAGE_COLUMNS))


def _integers(row: Row, names: Iterable[str]) -> dict[str, int]:
    return {name: int(value) for name, value in fields_of(row, names).items()}


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _by_state(tx: Connection, state: Column[Any]) -> dict[str, int]:
    rows = tx.execute(select(state, func.count()).group_by(state).order_by(state))
    return {name: int(number) for name, number in rows}


def _count(tx: Connection, *conditions: ColumnElement[bool]) -> int:
    return tx.execute(select(func.count()).where(*conditions)).scalar_one()
