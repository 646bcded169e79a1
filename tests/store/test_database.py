"""Whole transactions over one connection: one suite for the daemon's ledger and the inline one."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from orchestrator.store import ballast, incidents, request_sets
from orchestrator.store.database import Database, InlineDatabase, Ledger, Tx, sqlite_version
from orchestrator.store.errors import (
    CorruptLedger,
    LedgerBusy,
    LedgerDenied,
    LedgerError,
    LedgerFull,
    LostLedger,
)
from orchestrator.store.sqlite import PRAGMAS, meaning_of, outside
from tests.store.conftest import MIGRATIONS
from tests.store.values import NOW, receive, set_info

Either = Database | InlineDatabase


@pytest.fixture(params=[Database, InlineDatabase])
async def either(request: pytest.FixtureRequest, url: str) -> AsyncIterator[Either]:
    """A new ledger, in turn of each kind."""
    opened = await request.param.open(url, migrations=MIGRATIONS, now=NOW)
    yield opened
    await opened.close()


def file_at(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def mode(file: Path) -> int:
    return file.stat().st_mode & 0o777


def size(file: Path) -> int:
    return file.stat().st_size


def content(file: Path) -> bytes:
    return file.read_bytes()


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as opened:
        while True:
            opened.write(bytes(4096))


def neighbours(file: Path) -> list[str]:
    return sorted(path.name for path in file.parent.iterdir())


def book(tx: Tx, detail: str, times: int = 1) -> None:
    for _ in range(times):
        incidents.book(tx, NOW, "test", None, detail, 1, 0)


def booked(tx: Tx) -> list[str]:
    return [incident.detail for incident in incidents.all(tx)]


async def test_a_result_is_handed_through_and_the_work_recorded(either: Either) -> None:
    """What the function returns is returned, with positional and named arguments."""
    ledger: Ledger = either

    await ledger.transact(book, "one", times=2)

    assert await ledger.read(booked) == ["one", "one"]


async def test_an_error_undoes_the_whole_work(either: Either) -> None:
    """Half a transaction is none, and the next one finds the connection well."""

    def fail(tx: Tx) -> None:
        book(tx, "half")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await either.transact(fail)

    assert await either.read(booked) == []


async def test_a_violated_constraint_is_our_own_mistake(either: Either) -> None:
    """It comes through as it is, without the values that were written, and undoes everything."""

    def twice(tx: Tx) -> None:
        receive(tx, set_info(options='{"secret": 1}'))
        receive(tx, set_info(options='{"secret": 1}'))

    with pytest.raises(IntegrityError) as caught:
        await either.transact(twice)

    assert "secret" not in str(caught.value)
    assert await either.read(request_sets.open_sets) == []


async def test_a_read_that_changes_something_is_refused(either: Either) -> None:
    """A change by way of `read` is an error and is undone, not lost in silence."""
    with pytest.raises(RuntimeError, match="hand it to transact"):
        await either.read(book, "by the way")

    assert await either.read(booked) == []


async def test_what_was_recorded_is_there_in_the_next_life(either: Either, url: str) -> None:
    """The file alone carries the ledger: after closing there is no other."""
    await either.transact(book, "kept")

    await either.close()

    assert neighbours(file_at(url)) == ["orchestrator.db"]
    again = await type(either).open(url, migrations=MIGRATIONS, now=NOW)
    assert await again.read(booked) == ["kept"]
    await again.close()


async def test_every_pragma_is_in_force(either: Either) -> None:
    """SQLite says itself what it was told: exclusive, WAL, FULL, foreign keys, no trust."""

    def ask(tx: Tx) -> dict[str, object]:
        return {name: tx.exec_driver_sql(f"PRAGMA {name}").scalar() for name in PRAGMAS}

    assert await either.read(ask) == {
        "locking_mode": "exclusive",
        "journal_mode": "wal",
        "synchronous": 2,  # FULL: under NORMAL a committed intent can vanish in a power cut
        "foreign_keys": 1,
        "trusted_schema": 0,
    }
    assert list(PRAGMAS).index("locking_mode") < list(PRAGMAS).index("journal_mode")


async def test_there_is_no_shared_memory_file(either: Either, url: str) -> None:
    """With the lock taken before WAL nothing is mapped that a full disk could take away."""
    await either.transact(book, "x")

    assert neighbours(file_at(url)) == ["orchestrator.db", "orchestrator.db-wal"]


async def test_only_the_owner_may_read_the_file(either: Either, url: str) -> None:
    """The ledger and its write-ahead log are private."""
    await either.transact(book, "x")

    log = file_at(f"{url}-wal")
    assert (mode(file_at(url)), mode(log)) == (0o600, 0o600)


async def test_nobody_else_opens_a_ledger_in_use(either: Either, url: str) -> None:
    """A second one is refused in plain words, and the first goes on unharmed."""
    with pytest.raises(LedgerBusy, match="another process holds it; stop the daemon"):
        await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    with (
        closing(sqlite3.connect(file_at(url), timeout=0)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("SELECT 1 FROM lives")

    await either.transact(book, "still here")


async def test_a_second_connect_stops_us(either: Either) -> None:
    """A lost connection is a lost lock: nothing is done on a new one."""
    await either.close()

    with pytest.raises(LostLedger, match="start the daemon again"):
        await either.transact(book, "x")


async def test_a_backup_is_whole_and_private(either: Either, tmp_path: Path) -> None:
    """A running ledger is copied into a new file that opens by itself; no file is overwritten."""
    await either.transact(book, "kept")
    copy = tmp_path / "backups" / "copy.db"

    await either.backup(copy)

    assert mode(copy) == 0o600
    assert neighbours(copy) == ["copy.db"]
    opened = await InlineDatabase.open(f"sqlite:///{copy}", migrations=MIGRATIONS, now=NOW)
    assert await opened.read(booked) == ["kept"]
    await opened.close()
    with pytest.raises(LedgerError, match="is there already"):
        await either.backup(copy)


async def test_vacuum_gives_room_back(either: Either, url: str) -> None:
    """The space of deleted rows returns to the disk."""
    await either.transact(book, "x" * 1000, times=2000)
    await either.transact(lambda tx: tx.exec_driver_sql("DELETE FROM incidents"))

    await either.vacuum()

    await either.close()
    assert size(file_at(url)) < 500_000


async def test_a_full_disk_says_so_and_is_survived(either: Either) -> None:
    """Nothing of the transaction is recorded, and once there is room the same ledger goes on."""

    def limit(tx: Tx, pages: int) -> None:
        tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await either.read(limit, 1)

    with pytest.raises(LedgerFull, match="the disk is full, nothing was recorded; make room"):
        await either.transact(book, "x" * 1000, 500)
    assert await either.read(booked) == []

    await either.read(limit, 1_000_000)
    await either.transact(book, "room again")
    assert await either.read(booked) == ["room again"]


@pytest.mark.parametrize("kind", [Database, InlineDatabase])
async def test_the_ballast_is_given_up_to_record(
    kind: type[Either], url: str, tmp_path: Path
) -> None:
    """When the disk is full, the reserve makes room for what must be recorded, once."""
    reserve = tmp_path / "ballast"
    assert ballast.lay(reserve, 4096)
    ledger = await kind.open(url, migrations=MIGRATIONS, now=NOW, ballast=reserve)

    def record(tx: Tx) -> None:
        room = 1 if reserve.exists() else 1_000_000
        tx.exec_driver_sql(f"PRAGMA max_page_count = {room}")
        book(tx, "x" * 1000, 500)

    await ledger.transact(record)

    assert not reserve.exists()
    assert len(await ledger.read(booked)) == 500
    await ledger.close()


def test_the_ballast_takes_real_room(tmp_path: Path) -> None:
    """The reserve is allocated, laid once, and dropped once."""
    reserve = tmp_path / "ballast"

    assert ballast.lay(reserve, 1 << 20)
    assert ballast.lay(reserve, 1 << 20)

    assert reserve.stat().st_blocks * 512 >= 1 << 20
    assert ballast.drop(reserve)
    assert not ballast.drop(reserve)
    assert not ballast.drop(None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"needs the right to mount: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


async def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    """On a full file system the ballast is given up first, then the ledger says so, then heals."""
    reserve, filler = small_disk / "ballast", small_disk / "filler"
    assert ballast.lay(reserve, 512 << 10)
    url = f"sqlite:///{small_disk / 'orchestrator.db'}"
    ledger = await Database.open(url, migrations=MIGRATIONS, now=NOW, ballast=reserve)
    with pytest.raises(OSError, match="No space left"):
        fill(filler)

    await ledger.transact(book, "x" * 1000, 200)
    assert not reserve.exists()
    assert not ballast.lay(reserve, 4 << 20)
    assert not reserve.exists()
    with pytest.raises(LedgerFull):
        await ledger.transact(book, "x" * 1000, 2000)
    filler.unlink()
    await ledger.transact(book, "x" * 1000, 1)

    assert len(await ledger.read(booked)) == 201
    await ledger.close()


async def cancelled_after(spins: int, again: bool, database: Database, detail: str) -> bool:  # noqa: FBT001
    """Cancel a transaction after so many turns of the loop; tell whether it was cut short."""
    task = asyncio.ensure_future(database.transact(book, detail, 2))
    for _ in range(spins):
        await asyncio.sleep(0)
    task.cancel()
    if again:
        await asyncio.sleep(0)
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def test_a_cancelled_transaction_ends_whole(database: Database) -> None:
    """In 312 ways to cancel it none leaves a half, a lost connection or a stuck caller."""
    cut = 0
    for spins in range(156):
        for again in (False, True):
            cut += await cancelled_after(spins, again, database, f"{spins} {again}")
            await database.transact(book, "between")

    details = await database.read(booked)
    counts = {detail: details.count(detail) for detail in set(details)}
    assert counts.pop("between") == 312
    assert set(counts.values()) == {2}
    assert cut > 0


@pytest.mark.parametrize("spins", range(0, 60, 3))
async def test_a_cancelled_start_lets_go_of_the_file(url: str, spins: int) -> None:
    """However far the opening came, the next one finds the file free and whole."""
    task = asyncio.ensure_future(Database.open(url, migrations=MIGRATIONS, now=NOW))
    for _ in range(spins):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    again = await Database.open(url, migrations=MIGRATIONS, now=NOW)
    await again.transact(book, "x")
    await again.close()


async def test_concurrent_callers_take_turns(database: Database) -> None:
    """Many at once, some of them failing, are many whole transactions and no half."""

    async def one(number: int) -> None:
        def work(tx: Tx) -> None:
            book(tx, str(number), 2)
            if number % 5 == 0:
                raise ValueError

        try:
            await database.transact(work)
        except ValueError:
            assert number % 5 == 0

    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(one(number))

    details = await database.read(booked)
    expected = {str(number) for number in range(40) if number % 5}
    assert {detail: details.count(detail) for detail in details} == dict.fromkeys(expected, 2)


async def test_a_transaction_inside_a_transaction_is_refused(database: Database) -> None:
    """It would wait for itself for ever; the mistake is named at once."""
    caught: list[RuntimeError] = []

    def nest(_tx: Tx) -> None:
        inner = database.transact(book, "inner")
        step = database._transact(book, "inner")
        inner.close()
        try:
            step.send(None)
        except RuntimeError as error:
            caught.append(error)

    await database.transact(nest)

    assert "would wait for itself" in str(caught[0])


def damage_header(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(b"\xff" * 100)


def cut_in_half(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def zero_a_page(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(bytes(4096))


@pytest.mark.parametrize("damage", [damage_header, cut_in_half, zero_a_page])
@pytest.mark.parametrize("kind", [Database, InlineDatabase])
async def test_a_damaged_file_is_refused(kind: type[Either], url: str, damage) -> None:
    """The error names the file and the command that sets it aside; the file stays as it is."""
    ledger = await kind.open(url, migrations=MIGRATIONS, now=NOW)
    await ledger.transact(book, "x" * 500, 200)
    await ledger.close()
    file = file_at(url)
    damage(file)
    before = content(file)

    with pytest.raises(CorruptLedger, match=rf"{file}: the ledger is damaged .* mv {file} "):
        await kind.open(url, migrations=MIGRATIONS, now=NOW)

    assert content(file) == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("postgresql://localhost/ledger", "keeps its ledger in a SQLite file"),
        ("sqlite://", "keeps its ledger in a SQLite file"),
        ("no url at all", "the database setting is no URL"),
        ("sqlite:////nowhere/at/all/orchestrator.db", "check that its folder exists"),
        ("sqlite:////proc/version", "/proc/version: "),
    ],
)
async def test_a_place_that_cannot_be_used_is_named(wrong: str, message: str) -> None:
    """Each says what is wrong with the setting, in one line."""
    with pytest.raises(LedgerError, match=message) as caught:
        await Database.open(wrong, migrations=MIGRATIONS, now=NOW)

    assert "\n" not in str(caught.value)


async def test_a_setting_that_sqlite_refuses_stops_us(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PRAGMA that reads back otherwise is fatal: FULL is what makes an intent durable."""
    monkeypatch.setitem(PRAGMAS, "synchronous", 7)

    with pytest.raises(LedgerError, match="refused synchronous = 7"):
        await Database.open(url, migrations=MIGRATIONS, now=NOW)


async def test_statements_beside_a_transaction_give_their_rows(database: Database) -> None:
    """What begins by itself runs on the same connection and returns what it found."""
    assert await database._aside(outside, "PRAGMA user_version") == [(0,)]


async def test_errors_beside_a_transaction_are_translated_too(database: Database) -> None:
    """A full disk is one wherever it is met; a wrong statement stays our own mistake."""
    await database._aside(outside, "PRAGMA max_page_count = 1")

    with pytest.raises(LedgerFull):
        await database._aside(outside, "CREATE TABLE large (x)")
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        await database._aside(outside, "VACUM")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, LedgerDenied, "check the disk"),
        (sqlite3.SQLITE_READONLY, LedgerDenied, "check the disk"),
        (sqlite3.SQLITE_CANTOPEN, LedgerDenied, "check the disk"),
        (sqlite3.SQLITE_LOCKED, LedgerBusy, "another process"),
        (sqlite3.SQLITE_CORRUPT, CorruptLedger, "is damaged"),
        (sqlite3.SQLITE_FULL, LedgerFull, "is full"),
    ],
)
def test_each_error_of_the_disk_has_its_meaning(
    code: int, kind: type[LedgerError], words: str, tmp_path: Path
) -> None:
    """Extended codes count as their kind; whatever is no fault of the world has no meaning."""
    error = sqlite3.OperationalError("as SQLite says")
    error.sqlite_errorcode = code

    meaning = meaning_of(error, tmp_path / "ledger.db")

    assert type(meaning) is kind
    assert words in str(meaning)
    assert str(tmp_path / "ledger.db") in str(meaning)
    assert meaning_of(sqlite3.ProgrammingError("ours"), tmp_path) is None


def test_the_version_is_told() -> None:
    """The library's version is known for the log."""
    assert sqlite_version() == sqlite3.sqlite_version
