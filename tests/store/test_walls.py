"""The third wall: each CHECK, unique index and trigger refuses what it is there for."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Table, UniqueConstraint, insert
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.batches import BATCH_EDGES
from orchestrator.domain.request_sets import SET_EDGES, Flags
from orchestrator.store import batches as batch_rows, jobs as job_rows, lives, request_sets
from orchestrator.store.codecs import Columns, batch_row, flags_row, set_row
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.schema import metadata
from orchestrator.store.tables import (
    BATCH_STATES,
    SET_STATES,
    allowances,
    batches,
    events,
    installs,
    jobs,
    lives as lives_table,
    request_sets as sets,
    retired_sets,
)
from orchestrator.store.walls import NO_OVERLAP, WALLS
from tests.store.values import (
    INSTALL,
    NOW,
    batches_in_every_state,
    collect_all,
    part,
    planned,
    receive,
    set_info,
    sets_in_every_state,
    snapshot,
    start,
)

BATCH_ROWS = {batch.state: batch_row(batch) for batch in batches_in_every_state(planned())}
SET_ROWS: dict[str, Columns] = {
    value.state: {**set_row(value), **flags_row(Flags()), "updated_at": NOW}
    for value in sets_in_every_state(set_info())
}
JOB: Columns = {
    "name": "batches/1",
    "token": "t",
    "role": "ours",
    "state": "running",
    "model": "m",
    "first_seen": NOW,
    "last_seen": NOW,
}
STEP: Columns = {"at": NOW, "set_id": set_info().id, "why": ""}
ALLOWANCE: Columns = {
    "project": "p",
    "model": "m",
    "changed_at": NOW,
    "seen_tokens": 0,
    "seen_bytes": 0,
}


def batch(state: str, /, **changes: Any) -> tuple[Table, Columns]:
    return batches, {**BATCH_ROWS[state], **changes}


def request_set(state: str, /, **changes: Any) -> tuple[Table, Columns]:
    return sets, {**SET_ROWS[state], "id": "other", "folder": "other", "outbox": "other",
                  "fingerprint": "other", **changes}  # fmt: skip


REFUSED_ROWS: dict[str, tuple[Table, Columns]] = {
    "ck_batches_mode_word": batch("planned", mode="carrier pigeon"),
    "ck_batches_kind_word": batch("planned", kind="dream"),
    "ck_batches_state_word": batch("planned", state="lost", upload=None, not_before=None),
    "ck_batches_doubt_word": batch("submitting", doubt="some"),
    "ck_batches_outcome_word": batch("ended", outcome="fine"),
    "ck_batches_reason_word": batch("lapsed", reason="bad luck"),
    "ck_batches_envelope": batch("planned", requests=11),
    "ck_batches_counts": batch("planned", generation=0),
    "ck_batches_uploads_count_from_one": batch("planned", upload=0),
    "ck_batches_unsent": batch("planned", not_before=None),
    "ck_batches_intent": batch("submitting", epoch=None),
    "ck_batches_account": batch("submitted", account=None),
    "ck_batches_job": batch("lapsed", job="batches/1", submitted_at=NOW),
    "ck_batches_end": batch("submitted", ended_at=NOW, outcome="failed"),
    "ck_batches_answers": batch("collected", thoughts=None),
    "ck_batches_lapse": batch("lapsed", detail=None),
    "ck_batches_file": batch("lapsed", file="files/1"),
    "ck_batches_file_expires": batch("submitting", file_expires=None),
    "ck_batches_error_whole": batch("ended", error_code=13),
    "ck_batches_error_at_the_end": batch("submitted", error_code=13, error_message="m"),
    "ck_batches_conserved": batch("collected", answered=10),
    "ck_batches_tally_counts": batch("collected", answered=11, failed=-1),
    "ck_batches_cost_of_answers": batch("ended", cost_micros=1),
    "ck_request_sets_kind_word": request_set("received", kind="dream"),
    "ck_request_sets_state_word": request_set("received", state="lost"),
    "ck_request_sets_counts": request_set("received", run=-1),
    "ck_request_sets_flaws": request_set("received", flawed=1_001),
    "ck_request_sets_answers_itself": request_set("received", answered_from="other"),
    "ck_request_sets_held_says_why": request_set("running", held=""),
    "ck_request_sets_narrowing": request_set("indexed", batch_bytes_max=1),
    "ck_request_sets_finish": request_set("delivered", finished_at=None),
    "ck_request_sets_delivery": request_set("cancelled", summary_sha256=None),
    "ck_request_sets_rejection": request_set("rejected", reason=None),
    "ck_request_sets_conserved": request_set("delivered", answered=1_000),
    "ck_events_batch_edge": (
        events,
        {**STEP, "batch_id": 1, "source": "planned", "target": "submitted"},
    ),
    "ck_events_set_edge": (events, {**STEP, "source": "received", "target": "running"}),
    "ck_jobs_role_word": (jobs, {**JOB, "role": "mine"}),
    "ck_installs_one_row": (installs, {"place": 2, "id": "a second install"}),
    "ck_lives_counts": (lives_table, {"epoch": 0, "boot_id": "b", "started_at": NOW}),
    "ck_allowances_counts": (allowances, {**ALLOWANCE, "enqueued_tokens": 0}),
}

# Each is inserted after a first one that lies in the ledger already.
SECOND_ROWS: dict[str, tuple[tuple[Table, Columns], tuple[Table, Columns]]] = {
    "uq_batches_token": (
        batch("collected"),
        batch("planned", serial=2, lo=50, hi=60),
    ),
    "uq_batches_job": (
        batch("collected"),
        batch("submitted", token="t", serial=2),
    ),
    "uq_batches_set_id_serial": (
        batch("lapsed"),
        batch("planned", token="t"),
    ),
    "uq_request_sets_folder": (
        request_set("received"),
        request_set("received", id="third", outbox="third", fingerprint="third"),
    ),
    "one_run": (
        request_set("delivered"),
        request_set("received", id="third", outbox="third", folder="third"),
    ),
    "one_outbox": (
        request_set("delivered"),
        request_set("received", id="third", folder="third", fingerprint="third"),
    ),
    "one_job": ((jobs, JOB), (jobs, {**JOB, "name": "batches/2"})),
}


@pytest.mark.parametrize("name", sorted(REFUSED_ROWS))
async def test_a_check_refuses(ledger: InlineDatabase, name: str) -> None:
    """A row that no state can have is refused by the constraint that says so."""
    table, row = REFUSED_ROWS[name]
    await ledger.transact(receive, set_info())

    with pytest.raises(IntegrityError, match=rf"CHECK constraint failed: {name}\n"):
        await ledger.transact(lambda tx: tx.execute(insert(table).values(row)))


@pytest.mark.parametrize("name", sorted(SECOND_ROWS))
async def test_a_unique_index_refuses(ledger: InlineDatabase, name: str) -> None:
    """What may be there once is refused the second time."""
    (table, first), (_, second) = SECOND_ROWS[name]
    await ledger.transact(receive, set_info())
    await ledger.transact(lambda tx: tx.execute(insert(table).values(first)))

    with pytest.raises(IntegrityError, match="UNIQUE constraint failed"):
        await ledger.transact(lambda tx: tx.execute(insert(table).values(second)))


async def test_one_live_batch_is_an_index_even_without_the_trigger(ledger: InlineDatabase) -> None:
    """Where no trigger looks, the partial index alone refuses a plan inserted twice."""
    await ledger.transact(start, set_info(), planned())
    again = {**BATCH_ROWS["planned"], "token": "t", "serial": 2}

    def insert_without_trigger(tx):
        tx.exec_driver_sql("DROP TRIGGER batches_no_overlap")
        tx.execute(insert(batches).values(again))

    with pytest.raises(
        IntegrityError, match=r"UNIQUE constraint failed: batches.set_id, batches.lo"
    ):
        await ledger.transact(insert_without_trigger)


def change(table: Table, **values: Any) -> Callable[[Tx], object]:
    return lambda tx: tx.execute(table.update().values(values))


def overlap(tx: Tx) -> None:
    batch_rows.insert(tx, NOW, planned(2, lo=5, hi=15))


def collect(tx: Tx) -> None:
    collect_all(tx, planned())


def set_install(tx: Tx) -> None:
    lives.set_install(tx, INSTALL)


def see_job(tx: Tx) -> None:
    job_rows.record(tx, NOW, snapshot("batches/1", part().token), "ours")


def retire(tx: Tx) -> None:
    columns = ("id", "name", "fingerprint", "content", "run")
    tx.execute(retired_sets.insert().values({name: SET_ROWS["running"][name] for name in columns}))


def deliver(tx: Tx) -> None:
    delivered = {**SET_ROWS["delivered"]}
    tx.execute(sets.update().values({name: delivered[name] for name in delivered if name != "id"}))


BROKEN: dict[str, tuple[list[Callable[[Tx], object]], Callable[[Tx], object]]] = {
    "batches_no_overlap": ([], overlap),
    "batches_edges": ([], lambda tx: tx.execute(batches.update().values(BATCH_ROWS["submitted"]))),
    "batches_part": ([], change(batches, wire_bytes=1)),
    "batches_one_job": ([collect], change(batches, job="batches/another")),
    "batches_keep": ([collect], lambda tx: tx.execute(batches.delete())),
    "request_sets_edges": ([], change(sets, state="indexed", batch_bytes_max=None)),
    "request_sets_info": ([], change(sets, content_bytes=1)),
    "request_sets_source": ([], change(sets, answered_from="another")),
    "request_sets_keep": ([], lambda tx: tx.execute(sets.delete())),
    "retired_sets_finished": ([], retire),
    "retired_sets_keep": (
        [collect, deliver, retire],
        lambda tx: tx.execute(retired_sets.delete()),
    ),
    "events_append_only": ([], change(events, why="it was different")),
    "events_keep": ([], lambda tx: tx.execute(events.delete())),
    "jobs_identity": ([see_job], change(jobs, token="another")),
    "installs_keep": ([set_install], change(installs, id="another")),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_a_trigger_refuses(ledger: InlineDatabase, name: str) -> None:
    """A change that would rewrite what happened is refused by the trigger that says so."""
    before, forbidden = BROKEN[name]
    message = {wall.name: wall.message for wall in (NO_OVERLAP, *WALLS)}[name]
    await ledger.transact(start, set_info(), planned())
    for step in before:
        await ledger.transact(step)

    with pytest.raises(IntegrityError, match=message):
        await ledger.transact(forbidden)


async def test_a_finished_set_with_a_live_batch_is_not_retired(ledger: InlineDatabase) -> None:
    """Retirement asks the batches as well as the set."""
    await ledger.transact(start, set_info(), planned())
    await ledger.transact(deliver)

    with pytest.raises(IntegrityError, match="the set is not finished"):
        await ledger.transact(request_sets.delete, set_info().id)


def illegal(states: list[str], edges: frozenset[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(a, b) for a, b in product(states, repeat=2) if (a, b) not in edges]


@pytest.mark.parametrize(("source", "target"), illegal(BATCH_STATES, BATCH_EDGES))
async def test_no_other_move_of_a_batch_gets_on_record(
    ledger: InlineDatabase, source: str, target: str
) -> None:
    """Each pair of states that is no edge is refused by the row and by the history."""

    def put(tx: Tx) -> None:
        receive(tx, set_info())
        tx.execute(insert(batches).values(BATCH_ROWS[source]))

    await ledger.transact(put)

    step = {**STEP, "batch_id": 1, "source": source, "target": target}
    with pytest.raises(IntegrityError, match="ck_events_batch_edge"):
        await ledger.transact(lambda tx: tx.execute(insert(events).values(step)))
    if source != target:
        with pytest.raises(IntegrityError, match="no edge of the machine"):
            await ledger.transact(
                lambda tx: tx.execute(batches.update().values(BATCH_ROWS[target]))
            )


@pytest.mark.parametrize(
    ("source", "target"),
    [(a, b) for a, b in illegal(SET_STATES, SET_EDGES) if a != b],
)
async def test_no_other_move_of_a_set_gets_on_record(
    ledger: InlineDatabase, source: str, target: str
) -> None:
    """Each pair of states that is no edge is refused by the row and by the history."""
    await ledger.transact(lambda tx: tx.execute(insert(sets).values(SET_ROWS[source])))

    step = {**STEP, "source": source, "target": target}
    with pytest.raises(IntegrityError, match="ck_events_set_edge"):
        await ledger.transact(lambda tx: tx.execute(insert(events).values(step)))
    with pytest.raises(IntegrityError, match="no edge of the machine"):
        await ledger.transact(lambda tx: tx.execute(sets.update().values(SET_ROWS[target])))


def test_every_wall_is_provoked() -> None:
    """A constraint that is added without a test of its own fails here."""
    tables = metadata.tables.values()
    constraints = [constraint for table in tables for constraint in table.constraints]
    checks = {str(one.name) for one in constraints if isinstance(one, CheckConstraint)}
    uniques = {str(one.name) for one in constraints if isinstance(one, UniqueConstraint)}
    indexes = {str(index.name) for table in tables for index in table.indexes if index.unique}

    assert {wall.name for wall in (NO_OVERLAP, *WALLS)} == set(BROKEN)
    assert uniques | indexes == {*SECOND_ROWS, "one_live_batch"}
    assert checks == set(REFUSED_ROWS)
