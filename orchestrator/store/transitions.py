"""The only code that writes a state.

A move is guarded by the whole value that it was decided upon, not by its state alone: else a
decision about an older value (uploaded, forgotten, uploaded again) would go through.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam

from orchestrator.domain.batches import Batch, BatchEdge
from orchestrator.domain.moves import Move
from orchestrator.domain.request_sets import RequestSet, SetEdge
from orchestrator.store.codecs import (
    BATCH_COLUMNS,
    BATCH_STATE_COLUMNS,
    SET_COLUMNS,
    SET_STATE_COLUMNS,
    Columns,
    batch_row,
    set_row,
)
from orchestrator.store.errors import StaleTransition
from orchestrator.store.tables import batches, events, request_sets

Tx = Connection


def apply(tx: Tx, now: datetime, *moves: BatchEdge | SetEdge) -> None:
    """Carry out moves in order and put each on record.

    Raises StaleTransition when anything of a `before` has changed; the caller's transaction
    then ends without any of the moves.
    """
    happened = [_apply(tx, now, move) for move in moves]
    if happened:
        tx.execute(events.insert(), happened)


def unchanged(table: Table, columns: tuple[str, ...]) -> list[ColumnElement[bool]]:
    """Return the guard: every column still holds what was read, given as `was_…`."""
    return [
        table.c[name].is_not_distinct_from(bindparam(f"was_{name}", type_=table.c[name].type))
        for name in columns
    ]


def was(before: Columns) -> Columns:
    """Return the guard's parameters."""
    return {f"was_{name}": value for name, value in before.items()}


# Built once: the two statements that change a state are prepared and cached.
_MOVE_BATCH = (
    batches.update()
    .where(batches.c.token == bindparam("was_token"), *unchanged(batches, BATCH_COLUMNS))
    .values({name: bindparam(name) for name in ("state", *BATCH_STATE_COLUMNS)})
    .returning(batches.c.set_id, batches.c.id)
)
_MOVE_SET = (
    request_sets.update()
    .where(request_sets.c.id == bindparam("was_id"), *unchanged(request_sets, SET_COLUMNS))
    .values({name: bindparam(name) for name in ("state", *SET_STATE_COLUMNS, "updated_at")})
)


def _apply(tx: Tx, now: datetime, move: Move[Any, Any]) -> Columns:
    ids = _move_batch(tx, move) if hasattr(move.before, "part") else _move_set(tx, now, move)
    step = {"source": move.before.state, "target": move.after.state, "why": move.why}
    return {"at": now, **ids, **step}


def _move_batch(tx: Tx, move: Move[Batch, Batch]) -> Columns:
    before, after = batch_row(move.before), batch_row(move.after)
    written = {name: after[name] for name in ("state", *BATCH_STATE_COLUMNS)}
    row = tx.execute(_MOVE_BATCH, {**was(before), **written}).one_or_none()
    if row is None:
        raise StaleTransition(
            f"batch {before['token']} is no longer the {before['state']} that was read"
        )
    return {"set_id": row.set_id, "batch_id": row.id}


def _move_set(tx: Tx, now: datetime, move: Move[RequestSet, RequestSet]) -> Columns:
    before, after = set_row(move.before), set_row(move.after)
    written = {name: after[name] for name in ("state", *SET_STATE_COLUMNS)}
    if tx.execute(_MOVE_SET, {**was(before), **written, "updated_at": now}).rowcount != 1:
        raise StaleTransition(
            f"set {before['id']} is no longer the {before['state']} that was read"
        )
    return {"set_id": before["id"], "batch_id": None}
