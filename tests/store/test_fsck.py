"""The ledger looked at as a whole: a sound one is silent, each kind of damage is named."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import create_mock_engine, insert

from orchestrator.domain.batches import intend
from orchestrator.domain.request_sets import (
    Flags,
    Received,
    Running,
    Totals,
    deliver,
    index,
    reject,
    reopen,
    reuse,
)
from orchestrator.store import fsck, jobs, lives, request_sets
from orchestrator.store.codecs import batch_row
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.fsck import FINDINGS_MAX, INVARIANTS, Finding
from orchestrator.store.sqlite import outside
from orchestrator.store.tables import batches, events, jobs as job_table, request_sets as sets
from orchestrator.store.transitions import apply
from orchestrator.store.walls import NO_OVERLAP, WALLS
from tests.store.values import (
    ACCOUNT,
    INSTALL,
    NOW,
    collect_all,
    planned,
    receive,
    set_info,
    snapshot,
    start,
)

INFO = set_info()
TOKEN = planned().part.token


def tear_down_walls(tx: Tx) -> None:
    """Let everything through, as an editor of the file could."""
    for wall in (NO_OVERLAP, *WALLS):
        tx.exec_driver_sql(f"DROP TRIGGER {wall.name}")
    tx.exec_driver_sql("DROP INDEX one_live_batch")
    tx.exec_driver_sql("PRAGMA ignore_check_constraints = 1")


@pytest.fixture
async def sound(ledger: InlineDatabase) -> InlineDatabase:
    """A ledger with sets and batches in many states."""

    def fill(tx: Tx) -> None:
        lives.set_install(tx, INSTALL)
        lives.begin_life(tx, NOW, "boot")
        start(tx, INFO, planned(1), planned(2), planned(3))
        collect_all(tx, planned(2))
        apply(tx, NOW, intend(planned(3), NOW, ACCOUNT, 1))
        done = set_info("done")
        start(tx, done, planned(of=done))
        collect_all(tx, planned(of=done))
        totals = Totals(999, 1)
        apply(tx, NOW, deliver(Running(done, 2_000_000_000), totals, "5" * 64, NOW))
        receive(tx, set_info("bad"))
        apply(tx, NOW, reject(Received(set_info("bad")), "too many flaws", NOW))
        receive(tx, set_info("copy", answered_from=done.id))
        request_sets.flag(tx, NOW, INFO.id, Flags(), Flags(paused=True), "paused")
        token = planned(2).part.token
        jobs.record(tx, NOW, snapshot(f"batches/{token[11:]}", token), "ours")
        jobs.record(tx, NOW, snapshot("batches/twin", TOKEN), "twin")

    await ledger.transact(fill)
    return ledger


async def test_a_sound_ledger_has_no_findings(sound: InlineDatabase) -> None:
    """Whatever the program itself recorded is in order."""
    assert await sound.read(fsck.check) == []


async def test_a_reopened_set_may_wait_for_its_first_batch(ledger: InlineDatabase) -> None:
    """A set that needed no batch before, all its lines being flawed, may run without one."""

    def reopen_flawed(tx: Tx) -> None:
        info = set_info("flawed", flawed=1_000)
        receive(tx, info)
        indexed = index(Received(info))
        done = reuse(indexed.after, Totals(0, 1_000), "5" * 64, NOW)
        apply(tx, NOW, indexed, done, reopen(done.after, "flawed-2", 1_000))

    await ledger.transact(reopen_flawed)

    assert await ledger.read(fsck.check) == []


async def test_an_empty_ledger_has_no_findings(ledger: InlineDatabase) -> None:
    """A new one is in order, too."""
    assert await ledger.read(fsck.check) == []


def set_batch(**values: object) -> Callable[[Tx], object]:
    return lambda tx: tx.execute(batches.update().where(batches.c.token == TOKEN).values(values))


def set_set(name: str, **values: object) -> Callable[[Tx], object]:
    return lambda tx: tx.execute(sets.update().where(sets.c.name == name).values(values))


def overlap(tx: Tx) -> None:
    inner = planned(5, lo=2, hi=12, token=f"{TOKEN[:-1]}x")
    tx.execute(insert(batches).values(batch_row(inner)))


def one_inside_another(tx: Tx) -> None:
    overlap(tx)
    tx.execute(batches.update().where(batches.c.token == TOKEN).values(hi=900, requests=10))


def skip_a_step(tx: Tx) -> None:
    tx.execute(events.delete().where(events.c.target == "uploaded"))


def step(source: str, target: str, **values: object) -> Callable[[Tx], object]:
    row = {"at": NOW, "set_id": INFO.id, "why": "", "source": source, "target": target}
    return lambda tx: tx.execute(insert(events).values({**row, **values}))


def forget_the_batches(tx: Tx) -> None:
    tx.execute(batches.delete().where(batches.c.set_id == INFO.id))


def forget_the_history(tx: Tx) -> None:
    tx.execute(events.delete().where(events.c.set_id == INFO.id))


def job_of_nobody(tx: Tx) -> None:
    jobs.record(tx, NOW, snapshot("batches/unknown", "orc1-unknown"), "ours")


def another_job(tx: Tx) -> None:
    tx.execute(job_table.update().where(job_table.c.role == "ours").values(name="batches/another"))


DAMAGE: list[tuple[Callable[[Tx], object], str, str]] = [
    (set_batch(state="submitted"), "I7", "is submitted, its history says planned"),
    (skip_a_step, "I7", "moved from uploaded though it was planned"),
    (step("planned", "submitted", batch_id=1), "I7", "moved planned > submitted, no edge"),
    (step("", "planned", batch_id=99), "I7", "has a history and no row"),
    (step("received", "running"), "I7", "moved received > running, no edge"),
    (forget_the_history, "I7", "its history says nothing"),
    (overlap, "I2", "is live and overlaps"),
    (one_inside_another, "I2", "is live and overlaps"),
    (set_batch(generation=2), "I3", "its token is not that of set"),
    (
        lambda tx: tx.execute(batches.update().values(answered=0)),
        "I5",
        "its tally is not its requests",
    ),
    (set_set("done", answered=0), "I5", "its totals are not its requests"),
    (set_set("letters", requests=5), "I5", "holds ordinals beyond its set"),
    (forget_the_batches, "I4", "is running without a batch"),
    (set_set("letters", state="indexed"), "I4", "has batches before it was started"),
    (set_set("letters", state="delivered"), "I4", "is finished and has a live batch"),
    (set_set("done", answered_from=INFO.id), "I4", "is answered from another set"),
    (job_of_nobody, "I8", "no batch has its token orc1-unknown"),
    (another_job, "I8", "has the job batches/"),
    (
        lambda tx: tx.execute(batches.update().values(epoch=7)),
        "I12",
        "was sent by a life that never began",
    ),
]


@pytest.mark.parametrize(("damage", "invariant", "what"), DAMAGE)
async def test_damage_is_named(
    sound: InlineDatabase, damage: Callable[[Tx], object], invariant: str, what: str
) -> None:
    """Each broken invariant is found, with the place and what to do."""
    await sound.transact(tear_down_walls)
    await sound.transact(damage)

    findings = await sound.read(fsck.check)

    assert [one for one in findings if one.invariant == invariant and what in one.what]
    assert all(one.where and one.remedy for one in findings)


async def test_a_broken_reference_is_found(sound: InlineDatabase) -> None:
    """What refers to a row that is gone is named by table and row."""
    await sound.transact(tear_down_walls)
    sound._aside(outside, "PRAGMA foreign_keys = 0")
    await sound.transact(lambda tx: tx.execute(sets.delete().where(sets.c.name == "done")))

    findings = await sound.read(fsck.check)

    what = "refers to no row of request_sets"
    assert Finding("file", "batches row 4", what, fsck.RESTORE) in findings


async def test_a_file_that_breaks_its_own_rules_is_found(sound: InlineDatabase) -> None:
    """SQLite's own look at every page and row is part of the check."""
    await sound.transact(tear_down_walls)
    await sound.transact(set_batch(doubt="some"))
    sound._aside(outside, "PRAGMA ignore_check_constraints = 0")

    findings = await sound.read(fsck.check)

    what = "CHECK constraint failed in batches"
    assert findings == [Finding("file", "ledger", what, fsck.RESTORE)]


def test_other_databases_check_their_own_files() -> None:
    """The pages of a PostgreSQL server are none of our business."""
    tx = create_mock_engine("postgresql://", lambda *_: None)

    assert list(fsck.whole_file(cast(Any, tx))) == []


async def test_findings_are_bounded(ledger: InlineDatabase) -> None:
    """A ledger that is wrong everywhere does not flood the terminal."""
    many = [planned(serial) for serial in range(1, 101)]
    await ledger.transact(start, INFO, *many)
    await ledger.transact(tear_down_walls)
    await ledger.transact(lambda tx: tx.execute(events.delete()))
    await ledger.transact(lambda tx: tx.execute(batches.update().values(state="ended", hi=9_999)))

    findings = await ledger.read(fsck.check)

    assert FINDINGS_MAX <= len(findings) <= FINDINGS_MAX * len(INVARIANTS)
