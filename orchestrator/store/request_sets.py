"""Sets: their rows and what is asked of them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import count

from sqlalchemy import (
    Connection,
    Integer,
    bindparam,
    exists,
    func,
    select,
    tuple_,
    union_all,
)

from orchestrator.domain.ids import ContentHash, Fingerprint, SetId, set_id as derive
from orchestrator.domain.request_sets import (
    OPEN_STATES,
    Flags,
    Received,
    RequestSet,
    is_held_by,
    may_start_work,
)
from orchestrator.store import lives
from orchestrator.store.codecs import FLAG_COLUMNS, Row, flags_row, flags_value, set_row, set_value
from orchestrator.store.columns import one_of
from orchestrator.store.errors import StaleTransition
from orchestrator.store.question import Question
from orchestrator.store.tables import (
    PUBLISHES,
    batches,
    events,
    jobs,
    request_sets as sets,
    retired_sets as retired,
)
from orchestrator.store.transitions import unchanged, was

OUTBOX_BYTES_MAX = 255
# A job that was created late may show up in the list with an old token for this long.
TOKEN_LIFE = timedelta(days=7)

# What is asked at every look is built once; building a statement costs more than running it.
_copies = sets.alias()
_FINISHED_BEFORE = Question(
    select(sets)
    .where(
        ~one_of(sets.c.state, *sorted(OPEN_STATES)),
        sets.c.updated_at < bindparam("before"),
        ~exists().where(_copies.c.answered_from == sets.c.id),
    )
    .order_by(sets.c.updated_at)
    .limit(bindparam("most", type_=Integer))
)
_newest_first = (sets.c.received_at.desc(), sets.c.run.desc(), sets.c.id.desc())
_BY = {
    column: Question(
        select(sets).where(sets.c[column] == bindparam("wanted")).order_by(*_newest_first).limit(1)
    )
    for column in ("id", "name", "folder")
}
_of_print = sets.c.fingerprint == bindparam("fingerprint")
_FIRST_RUN = Question(
    select(sets)
    .where(
        _of_print,
        sets.c.answered_from.is_(None),
        ~one_of(sets.c.state, "rejected", "cancelled"),
    )
    .order_by(*_newest_first)
    .limit(1)
)
_HIGHEST_RUN = Question(
    union_all(
        *(
            select(func.max(table.c.run)).where(table.c.fingerprint == bindparam("fingerprint"))
            for table in (sets, retired)
        )
    )
)
_COPIES = Question(
    union_all(
        *(
            select(func.count()).where(
                table.c.name == bindparam("name"),
                table.c.content == bindparam("content"),
                table.c.run == bindparam("run"),
            )
            for table in (sets, retired)
        )
    )
)
_KNOWN = Question(
    union_all(
        *(select(table.c.id).where(table.c.id == bindparam("id")) for table in (sets, retired))
    )
)
_PUBLISHED = Question(select(sets.c.id).where(sets.c.outbox == bindparam("outbox"), PUBLISHES))


@dataclass(frozen=True, slots=True)
class StoredSet:
    """A set, what lies upon it, and when either changed last."""

    value: RequestSet
    flags: Flags
    updated_at: datetime


def insert(tx: Connection, now: datetime, *received: Received) -> None:
    """Register sets that were claimed and read."""
    none = {**flags_row(Flags()), "updated_at": now}
    tx.execute(sets.insert(), [{**set_row(value), **none} for value in received])
    born = {"at": now, "batch_id": None, "source": "", "why": ""}
    tx.execute(
        events.insert(),
        [{**born, "set_id": value.info.id, "target": value.state} for value in received],
    )


def flag(
    tx: Connection, now: datetime, set_id: SetId, before: Flags, after: Flags, why: str
) -> None:
    """Change what lies upon a set, whatever its state. Raises StaleTransition."""
    row = tx.execute(
        sets.update()
        .where(sets.c.id == set_id, *unchanged(sets, FLAG_COLUMNS))
        .values(**flags_row(after), updated_at=now)
        .returning(sets.c.state),
        was(flags_row(before)),
    ).one_or_none()
    if row is None:
        raise StaleTransition(f"the flags of set {set_id} are no longer {before}")
    _record(tx, now, set_id, row.state, row.state, why)


def lift(tx: Connection, now: datetime, set_id: SetId, held_by: str, why: str) -> None:
    """Let a set go on if it is held by this, whatever else is said of it."""
    stored = get(tx, set_id)
    if stored is not None and is_held_by(stored.flags, held_by):
        after = replace(stored.flags, held=None, held_until=None)
        flag(tx, now, set_id, stored.flags, after, why)


def get(tx: Connection, set_id: SetId) -> StoredSet | None:
    """Return a set by its id."""
    return _by(tx, "id", set_id)


def is_cancel_asked(tx: Connection, set_id: SetId) -> bool:
    """Tell whether the operator has asked for the end of a set: nobody waits for their word."""
    stored = get(tx, set_id)
    return stored is not None and stored.flags.cancel_asked


def demand_work(tx: Connection, set_id: SetId) -> None:
    """Raise StaleTransition unless work of the set may be started in this very transaction."""
    stored = get(tx, set_id)
    if stored is None or not may_start_work(stored.value, stored.flags):
        raise StaleTransition(f"no work of set {set_id} may be started any more")


def find(tx: Connection, id_or_name: str) -> StoredSet | None:
    """Return a set by its id, else the newest of that name."""
    return get(tx, SetId(id_or_name)) or _by(tx, "name", id_or_name)


def by_folder(tx: Connection, folder: str) -> StoredSet | None:
    """Return the set whose folder in `work/` has this name."""
    return _by(tx, "folder", folder)


def open_sets(tx: Connection) -> list[StoredSet]:
    """Return the sets for which something is still to be done, the most urgent first."""
    return in_state(tx, *sorted(OPEN_STATES))


def in_state(tx: Connection, *states: str) -> list[StoredSet]:
    """Return the sets in these states, the most urgent first."""
    return [_stored(row) for row in _in_state(states).mappings(tx)]


@lru_cache
def _in_state(states: tuple[str, ...]) -> Question:
    """Build what is asked at every look, once."""
    return Question(
        select(sets)
        .where(one_of(sets.c.state, *states))
        .order_by(sets.c.priority.desc(), sets.c.received_at, sets.c.id)
    )


def page(
    tx: Connection, *, state: set[str] | None, after: str | None, limit: int
) -> list[StoredSet]:
    """Return up to `limit` sets, the newest first, that come after the set `after`.

    A cursor that is no longer known gives an empty page.
    """
    query = select(sets).order_by(sets.c.received_at.desc(), sets.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(sets.c.state.in_(sorted(state)))
    if after is not None:
        cursor = select(sets.c.received_at, sets.c.id).where(sets.c.id == after)
        query = query.where(tuple_(sets.c.received_at, sets.c.id) < cursor.scalar_subquery())
    return [_stored(row) for row in tx.execute(query).mappings()]


def first_run(tx: Connection, fingerprint: Fingerprint) -> StoredSet | None:
    """Return the newest run of its own, neither rejected nor cancelled, of the same drop."""
    rows = _FIRST_RUN.mappings(tx, fingerprint=fingerprint)
    return next((_stored(row) for row in rows), None)


def next_run(tx: Connection, fingerprint: Fingerprint) -> int:
    """Return the first run of this drop that was never used, not even by a set now deleted."""
    highest = _HIGHEST_RUN.scalars(tx, fingerprint=fingerprint)
    return max((run + 1 for run in highest if run is not None), default=0)


def next_copy(tx: Connection, name: str, content: ContentHash, run: int) -> int:
    """Return a copy number with which this name, content and run name no set, past or present."""
    install = lives.install(tx)
    used: int = sum(_COPIES.scalars(tx, name=name, content=content, run=run))
    if install is None:
        return used
    return next(
        copy
        for copy in count(used)  # a ledger that was rebuilt in part may have gaps below
        if not _KNOWN.rows(tx, id=derive(install, name, content, run, copy))
    )


def free_outbox(tx: Connection, wanted: str) -> str:
    """Return the first of NAME, NAME-2, NAME-3 … that no set publishes under."""
    names = (numbered(wanted, number) for number in count(1))
    return next(name for name in names if not _PUBLISHED.rows(tx, outbox=name))


def finished_before(tx: Connection, before: datetime, limit: int) -> list[StoredSet]:
    """Return finished sets that nothing happened to since `before`, the oldest first.

    A first run stays while a set that was answered from it is still there. The caller keeps
    `before` at least TOKEN_LIFE in the past.
    """
    return [_stored(row) for row in _FINISHED_BEFORE.mappings(tx, before=before, most=limit)]


def delete(tx: Connection, set_id: SetId) -> None:
    """Forget a finished set whose retention has ended, but never that its name was used.

    Only sets that `finished_before` returned: its tokens are not recognised any more.
    """
    tx.execute(
        retired.insert().from_select(
            [column.name for column in retired.c],
            select(*(sets.c[column.name] for column in retired.c)).where(sets.c.id == set_id),
        )
    )
    tokens = select(batches.c.token).where(batches.c.set_id == set_id)
    tx.execute(jobs.delete().where(jobs.c.token.in_(tokens)))
    tx.execute(events.delete().where(events.c.set_id == set_id))
    tx.execute(batches.delete().where(batches.c.set_id == set_id))
    tx.execute(sets.delete().where(sets.c.id == set_id))


def _by(tx: Connection, column: str, wanted: str) -> StoredSet | None:
    return next((_stored(row) for row in _BY[column].mappings(tx, wanted=wanted)), None)


def _stored(row: Row) -> StoredSet:
    return StoredSet(set_value(row), flags_value(row), row["updated_at"])


def _record(
    tx: Connection, now: datetime, set_id: SetId, source: str, target: str, why: str
) -> None:
    event = {"at": now, "set_id": set_id, "source": source, "target": target, "why": why}
    tx.execute(events.insert().values(event))


def numbered(wanted: str, number: int) -> str:
    """Return NAME for 1, NAME-2 for 2 …, never longer than a folder's name may be."""
    suffix = "" if number == 1 else f"-{number}"
    return cut(wanted, OUTBOX_BYTES_MAX - len(suffix)) + suffix


def cut(name: str, size: int) -> str:
    """Shorten a name to so many bytes without cutting a character in two."""
    return name.encode("utf-8", "surrogateescape")[:size].decode("utf-8", "ignore")
