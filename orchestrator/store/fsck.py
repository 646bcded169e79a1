"""What must be true of the ledger as a whole, looked at from the outside.

Most of it the schema refuses already; it is asked again because a file can be edited, restored
or damaged. Nothing is repaired: a finding says what a person should do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from orchestrator.domain.batches import BATCH_EDGES
from orchestrator.domain.ids import SetId, set_prefix
from orchestrator.domain.request_sets import OPEN_STATES, SET_EDGES
from orchestrator.store import lives
from orchestrator.store.tables import (
    LIVE,
    SET_STATES,
    batches,
    events,
    jobs,
    lives as lives_table,
    request_sets as sets,
)

FINDINGS_MAX = 100
RESTORE = "stop the daemon and restore the newest backup; nothing is paid twice by that"
REPORT = "run fsck again; if it stays, report it with a copy of the ledger"


@dataclass(frozen=True, slots=True)
class Finding:
    """A broken invariant (I1 …), where, what is seen there, and what to do."""

    invariant: str
    where: str
    what: str
    remedy: str


def check(tx: Connection) -> list[Finding]:
    """Return every broken invariant, at most FINDINGS_MAX of each kind; empty is good."""
    return [
        finding
        for invariant in INVARIANTS
        for finding, _ in zip(invariant(tx), range(FINDINGS_MAX), strict=False)
    ]


def whole_file(tx: Connection) -> Iterator[Finding]:
    """Ask SQLite whether its pages, indexes and references are whole."""
    if tx.dialect.name != "sqlite":
        return
    for (verdict,) in tx.exec_driver_sql("PRAGMA integrity_check(10)"):
        if verdict != "ok":
            yield Finding("file", "ledger", verdict, RESTORE)
    for table, row, parent, _ in tx.exec_driver_sql("PRAGMA foreign_key_check"):
        yield Finding("file", f"{table} row {row}", f"refers to no row of {parent}", RESTORE)


def batches_walk_along_the_edges(tx: Connection) -> Iterator[Finding]:
    """I1, I7: every batch was planned and came along the edges to the state it is in."""
    rows = select(batches.c.id, batches.c.token, batches.c.state)
    steps = select(events.c.batch_id, events.c.source, events.c.target)
    recorded = steps.where(events.c.batch_id.is_not(None)).order_by(events.c.batch_id, events.c.id)
    yield from _walk(tx, "batch", rows, recorded, BATCH_EDGES | {("", "planned")})


def sets_walk_along_the_edges(tx: Connection) -> Iterator[Finding]:
    """I7: every set was received and came along the edges to the state it is in."""
    rows = select(sets.c.id, sets.c.id, sets.c.state)
    steps = select(events.c.set_id, events.c.source, events.c.target)
    recorded = steps.where(events.c.batch_id.is_(None)).order_by(events.c.set_id, events.c.id)
    flags = {(state, state) for state in SET_STATES}
    yield from _walk(tx, "set", rows, recorded, SET_EDGES | flags | {("", "received")})


def one_live_batch(tx: Connection) -> Iterator[Finding]:
    """I2: no two live batches of a set overlap."""
    columns = (batches.c.set_id, batches.c.token, batches.c.lo, batches.c.hi)
    last: Any = None
    for row in tx.execute(select(*columns).where(LIVE).order_by(batches.c.set_id, batches.c.lo)):
        if last is not None and row.set_id == last.set_id and row.lo < last.hi:
            what = f"is live and overlaps {last.token}, which is live too"
            yield Finding("I2", f"batch {row.token}", what, RESTORE)
        if last is None or row.set_id != last.set_id or row.hi > last.hi:
            last = row


def derived_tokens(tx: Connection) -> Iterator[Finding]:
    """I3: every token is the one that this install derives for its set and generation."""
    install = lives.install(tx)
    if install is None:
        return
    for row in tx.execute(select(batches.c.token, batches.c.set_id, batches.c.generation)):
        prefix = set_prefix(install, SetId(row.set_id))
        if not row.token.startswith(f"{prefix}{row.generation}-"):
            what = f"its token is not that of set {row.set_id}, generation {row.generation}"
            yield Finding("I3", f"batch {row.token}", what, "check that install-id is this state's")


def requests_are_conserved(tx: Connection) -> Iterator[Finding]:
    """I5: what went in comes out, per batch and per set, inside the set."""
    tally = batches.c.answered + batches.c.failed + batches.c.retryable
    tally = tally + batches.c.missing + batches.c.given_up
    yield from _batches(
        tx, "I5", "its tally is not its requests", tally != batches.c.requests, REPORT
    )
    yield from _sets(
        tx,
        "I5",
        "its totals are not its requests",
        sets.c.answered + sets.c.failed != sets.c.requests,
        REPORT,
    )
    beyond = select(batches.c.token).join(sets).where(batches.c.hi > sets.c.requests)
    for (token,) in tx.execute(beyond):
        yield Finding("I5", f"batch {token}", "holds ordinals beyond its set", RESTORE)


def states_of_sets_fit(tx: Connection) -> Iterator[Finding]:
    """I4: a running set has batches, a finished one no live batch, a first run its own work."""
    of_set = select(batches.c.id).where(batches.c.set_id == sets.c.id)
    has_any, has_live = of_set.exists(), of_set.where(LIVE).exists()
    finished = sets.c.state.not_in(sorted(OPEN_STATES))
    reopened = select(events.c.id).where(
        events.c.set_id == sets.c.id, events.c.source == "delivered", events.c.batch_id.is_(None)
    )
    running = (sets.c.state == "running") & ~has_any & ~reopened.exists()
    early = sets.c.state.in_(["received", "indexed", "rejected"]) & has_any
    copied = sets.c.answered_from.is_not(None) & has_any
    yield from _sets(tx, "I4", "is running without a batch", running, REPORT)
    yield from _sets(tx, "I4", "has batches before it was started", early, REPORT)
    yield from _sets(tx, "I4", "is finished and has a live batch", finished & has_live, REPORT)
    yield from _sets(tx, "I4", "is answered from another set and has batches", copied, REPORT)


def jobs_are_known(tx: Connection) -> Iterator[Finding]:
    """I8: each job of ours has a batch, and the batch knows it by that name."""
    seen = select(jobs.c.name, jobs.c.token, batches.c.job, batches.c.state).join(
        batches, batches.c.token == jobs.c.token, isouter=True
    )
    for row in tx.execute(seen.where(jobs.c.role == "ours")):
        if row.state is None:
            what = f"no batch has its token {row.token}"
            yield Finding("I8", f"job {row.name}", what, "look it up in the provider's console")
        elif row.job is not None and row.job != row.name:
            what = f"batch {row.token} has the job {row.job} instead"
            yield Finding("I8", f"job {row.name}", what, "look both up in the provider's console")


def lives_are_ordered(tx: Connection) -> Iterator[Finding]:
    """I12: no intent is of a life that is still to come."""
    newest = select(func.coalesce(func.max(lives_table.c.epoch), 0)).scalar_subquery()
    condition = batches.c.epoch > newest
    yield from _batches(tx, "I12", "was sent by a life that never began", condition, RESTORE)


INVARIANTS: tuple[Callable[[Connection], Iterator[Finding]], ...] = (
    whole_file,
    batches_walk_along_the_edges,
    sets_walk_along_the_edges,
    one_live_batch,
    derived_tokens,
    requests_are_conserved,
    states_of_sets_fit,
    jobs_are_known,
    lives_are_ordered,
)


def _walk(
    tx: Connection,
    noun: str,
    rows: Select[Any],
    steps: Select[Any],
    edges: frozenset[tuple[str, str]],
) -> Iterator[Finding]:
    names: dict[Any, tuple[str, str]] = {
        key: (name, state) for key, name, state in tx.execute(rows)
    }
    at: dict[Any, str] = {}
    for key, source, target in tx.execute(steps):
        where = f"{noun} {names[key][0]}" if key in names else f"{noun} {key}"
        if (source, target) not in edges:
            yield Finding("I7", where, f"moved {source or 'nothing'} > {target}, no edge", REPORT)
        if source != at.get(key, ""):
            what = f"moved from {source} though it was {at.get(key) or 'nothing'}"
            yield Finding("I7", where, what, REPORT)
        at[key] = target
    for key, (name, state) in names.items():
        if at.get(key) != state:
            what = f"is {state}, its history says {at.get(key) or 'nothing'}"
            yield Finding("I7", f"{noun} {name}", what, REPORT)
    for key in at.keys() - names.keys():
        yield Finding("I7", f"{noun} {key}", "has a history and no row", RESTORE)


def _batches(
    tx: Connection, invariant: str, what: str, condition: ColumnElement[bool], remedy: str
) -> Iterator[Finding]:
    for (token,) in tx.execute(select(batches.c.token).where(condition)):
        yield Finding(invariant, f"batch {token}", what, remedy)


def _sets(
    tx: Connection, invariant: str, what: str, condition: ColumnElement[bool], remedy: str
) -> Iterator[Finding]:
    for (name,) in tx.execute(select(sets.c.id).where(condition)):
        yield Finding(invariant, f"set {name}", what, remedy)
