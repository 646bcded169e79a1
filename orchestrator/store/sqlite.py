"""What SQLite must be told before it can be trusted, and what its errors mean for us.

Every setting is read back: an unknown PRAGMA is not an error there. FULL, because under NORMAL
a committed intent can vanish in a power cut, and a batch would be bought twice. EXCLUSIVE
before WAL, else the memory-mapped -shm file is made after all.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from orchestrator.store.errors import (
    CorruptLedger,
    LedgerBusy,
    LedgerDenied,
    LedgerError,
    LedgerFull,
    LostLedger,
)

PRAGMAS: dict[str, str | int] = {
    "locking_mode": "exclusive",
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "trusted_schema": 0,
}
BUSY_SECONDS_MAX = 2.0
ONE_CONNECTION: dict[str, Any] = {
    "pool_size": 1,
    "max_overflow": 0,
    "pool_recycle": -1,
    "hide_parameters": True,  # an error must not carry the user's options into a log
    "connect_args": {"timeout": BUSY_SECONDS_MAX},
}


def sqlite_version() -> str:
    """Return the version of the SQLite library in use."""
    return sqlite3.sqlite_version


def file_of(url: str) -> Path:
    """Return the file that a URL like sqlite:////var/lib/orchestrator/orchestrator.db names."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerError(
            "the database setting is no URL; write sqlite:////PATH/orchestrator.db"
        ) from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise LedgerError(
            f"database {parsed.render_as_string()}: this version keeps its ledger in a SQLite"
            " file; set [service] database to sqlite:////PATH/orchestrator.db"
        )
    return Path(parsed.database)


def prepare(engine: Engine, file: Path) -> None:
    """Make every connection of the engine a trusted one, and the first one the only one."""
    connects = 0

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        nonlocal connects
        connects += 1
        if connects > 1:
            raise LostLedger(
                f"{file}: the connection was lost, and the lock with it; start the daemon again"
            )
        connection.isolation_level = None  # the driver must not begin by itself
        cursor = connection.cursor()
        for name, wanted in PRAGMAS.items():
            set_pragma(cursor, name, wanted)
        cursor.execute("BEGIN IMMEDIATE")  # takes the file's lock now, not at the first write
        cursor.execute("COMMIT")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        outside(connection, "BEGIN IMMEDIATE")


def set_pragma(cursor: Any, name: str, wanted: str | int) -> None:
    """Set a PRAGMA and read it back."""
    cursor.execute(f"PRAGMA {name} = {wanted}")
    cursor.execute(f"PRAGMA {name}")
    got = cursor.fetchone()[0]
    if got != wanted:
        raise LedgerError(
            f"SQLite {sqlite_version()} refused {name} = {wanted} and kept {got};"
            " put the database on a local file system"
        )


def outside(connection: Connection, sql: str, *parameters: object) -> list[Any]:
    """Run one statement outside of any transaction and return its rows."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        cursor.close()


@dataclass(frozen=True, slots=True)
class Space:
    """What the ledger's file takes, in bytes: with rows in it, and left by deleted ones."""

    used: int
    free: int


def space(connection: Connection) -> Space:
    """Measure the ledger's file."""
    size, pages, free = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_size", "page_count", "freelist_count")
    )
    return Space((pages - free) * size, free * size)


def changes(connection: Connection) -> int:
    """Return how many rows this connection has changed since it was opened."""
    driver: Any = connection.connection.driver_connection
    return int(driver.total_changes)


def create_private(file: Path) -> None:
    """Make sure that the file exists, durably, and that only its owner may read a new one."""
    is_new = not file.exists()
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LedgerError(
            f"{file}: {error.strerror}; check that its folder exists and is writable"
        ) from error
    os.close(descriptor)
    if is_new:
        fsync(file.parent)


def fsync(path: Path) -> None:
    """Make a file's content, or the names in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def translated(file: Path) -> Iterator[None]:
    """Turn the driver's errors into ours where there is something that the operator can do."""
    try:
        yield
    except DBAPIError as error:
        meaning = meaning_of(error.orig, file)
        if meaning is None:
            raise
        raise meaning from error
    except sqlite3.Error as error:
        meaning = meaning_of(error, file)
        if meaning is None:
            raise
        raise meaning from error


def meaning_of(error: BaseException | None, file: Path) -> LedgerError | None:
    """Return what a driver's error means for the operator, None when it is our own mistake."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return LedgerFull(f"{file}: the disk is full, nothing was recorded; make room")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(file, str(error))
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerBusy(f"{file}: another process holds it; stop the daemon that uses it")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return LedgerDenied(f"{file}: {error}; check the disk and the file's permissions")
        case _:
            return None


def damaged(file: Path, what: str) -> CorruptLedger:
    """Say that the file is damaged and how to go on."""
    seen = " ".join(what.split())
    return CorruptLedger(
        f"{file}: the ledger is damaged ({seen}); restore a backup over it, or set it aside:"
        f" mv {file} {file}.damaged; the next start rebuilds it from work/ and the job list"
        " and pays nothing twice"
    )
