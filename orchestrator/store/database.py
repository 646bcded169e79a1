"""The ledger's file: opened with care, used in whole transactions.

Trouble. A setting that SQLite refuses, a newer schema, a damaged or a foreign-held file, a full
disk and a lost connection stop us, each with an error that says what to do. A constraint that
is violated is our own mistake and crashes us.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeAlias, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool, QueuePool
from sqlalchemy.util import greenlet_spawn

from orchestrator.store import ballast as reserve
from orchestrator.store.errors import LedgerFull
from orchestrator.store.memo import Memo
from orchestrator.store.migrate import bring_up, copy_ledger
from orchestrator.store.sqlite import (
    ONE_CONNECTION,
    changes,
    create_private,
    file_of,
    outside,
    prepare,
    sqlite_version,
    translated,
)

__all__ = ["Database", "InlineDatabase", "Ledger", "Tx", "sqlite_version"]

Tx: TypeAlias = Connection
P = ParamSpec("P")
T = TypeVar("T")

_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside", default=False)


class Ledger(Protocol):
    """What the stages need of the ledger."""

    async def transact(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` as one transaction: all of it is recorded, or nothing."""

    async def read(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work`, which changes nothing, on one consistent state."""

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""


class Database:
    """The ledger over one connection for life, in a thread of its own.

    A transaction is plain code in a greenlet, which waits in the event loop wherever the thread is
    asked for something. SQLAlchemy's own asyncio layer does the same a step at a time, and would
    bring its object mapper along: 6 MB, held for weeks.
    """

    def __init__(self, engine: Engine, file: Path, ballast: Path | None) -> None:
        self._engine = engine
        self._file = file
        self._ballast = ballast
        self._memo = Memo()

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        migrations: Path,
        now: datetime,
        backups: Path | None = None,
        ballast: Path | None = None,
    ) -> Self:
        """Open the ledger, check it and bring its schema up to date.

        A copy goes to the folder `backups` first if the schema is older; `ballast` is given up
        when the disk is full while something is recorded. Raises LedgerError in one of its kinds.
        """
        file = file_of(url)
        create_private(file)
        engine = create_engine(
            URL.create("sqlite+aiosqlite", database=str(file)),
            poolclass=AsyncAdaptedQueuePool,
            **ONE_CONNECTION,
        )
        prepare(engine, file)
        database = cls(engine, file, ballast)
        try:
            await _whole(database._aside(bring_up, file, migrations, now, backups))
        except BaseException:
            await database.close()
            raise
        return database

    async def transact(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` as one transaction, whole even when the caller is cancelled.

        `work` does only SQL and may be run twice. A cancelled caller knows nothing and reads
        again. Raises LedgerFull, CorruptLedger or LostLedger.
        """
        self._memo.changed()
        try:
            return await _whole(self._transact(work, *args, **kwargs))
        finally:
            self._memo.changed()

    async def read(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` on one consistent state; that it changes nothing is checked.

        It sees only the ledger and its arguments, so an answer holds until the next change.
        """

        async def ask() -> T:
            return await _whole(self._transact(_only_reading, work, *args, **kwargs))

        return await self._memo.answer(ask, work, args, kwargs)

    async def backup(self, into: Path) -> None:
        """Copy the ledger into a new file, whole and durable; nobody else can open ours."""
        await _whole(self._aside(copy_ledger, into))

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""
        await _whole(self._aside(outside, "VACUUM"))
        self._memo.changed()

    async def close(self) -> None:
        """Write everything into the one file and let go of it."""
        await _whole(greenlet_spawn(self._engine.dispose))

    async def _transact(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with _alone():
            try:
                return await self._attempt(work, *args, **kwargs)
            except LedgerFull:
                if not reserve.drop(self._ballast):
                    raise
                return await self._attempt(work, *args, **kwargs)

    async def _attempt(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        def in_transaction() -> T:
            with self._engine.begin() as connection:
                return work(connection, *args, **kwargs)

        with translated(self._file):
            return await greenlet_spawn(in_transaction)

    async def _aside(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run what begins by itself or cannot run inside a transaction."""

        def on_connection() -> T:
            with self._engine.connect() as connection:
                return work(connection, *args, **kwargs)

        with _alone(), translated(self._file):
            return await greenlet_spawn(on_connection)


class InlineDatabase:
    """The same ledger without a thread and without a wait: for simulated time and for tools."""

    def __init__(self, engine: Engine, file: Path, ballast: Path | None) -> None:
        self._engine = engine
        self._file = file
        self._ballast = ballast
        self._memo = Memo()
        self._connection = engine.connect()

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        migrations: Path,
        now: datetime,
        backups: Path | None = None,
        ballast: Path | None = None,
    ) -> Self:
        """Open the ledger as `Database.open` does."""
        file = file_of(url)
        create_private(file)
        engine = create_engine(
            URL.create("sqlite", database=str(file)), poolclass=QueuePool, **ONE_CONNECTION
        )
        prepare(engine, file)
        with translated(file):
            database = cls(engine, file, ballast)
        try:
            database._aside(bring_up, file, migrations, now, backups)
        except BaseException:
            await database.close()
            raise
        return database

    async def transact(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` as one transaction; there is no await in it."""
        self._memo.changed()
        try:
            return self._attempt(work, *args, **kwargs)
        except LedgerFull:
            if not reserve.drop(self._ballast):
                raise
            return self._attempt(work, *args, **kwargs)
        finally:
            self._memo.changed()

    async def read(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` on one consistent state, as `Database.read` does."""

        async def ask() -> T:
            return self._attempt(_only_reading, work, *args, **kwargs)

        return await self._memo.answer(ask, work, args, kwargs)

    async def backup(self, into: Path) -> None:
        """Copy the ledger into a new file, whole and durable."""
        self._aside(copy_ledger, into)

    async def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""
        self._aside(outside, "VACUUM")
        self._memo.changed()

    async def close(self) -> None:
        """Write everything into the one file and let go of it."""
        self._connection.close()
        self._engine.dispose()

    def _attempt(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with translated(self._file), self._open().begin():
            return work(self._connection, *args, **kwargs)

    def _aside(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        with translated(self._file):
            try:
                return work(self._open(), *args, **kwargs)
            finally:
                self._connection.rollback()

    def _open(self) -> Connection:
        """Return the connection; a second one is refused where it connects."""
        if self._connection.closed or self._connection.invalidated:
            self._connection = self._engine.connect()
        return self._connection


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """Finish the work even when the caller is cancelled, then let the cancellation through.

    Cut off in the middle, SQLAlchemy drops the connection, and the lock with it.
    """
    running = asyncio.create_task(work)  # noqa: TID251 - must outlive a cancel
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled from running.exception()
    return running.result()


def _only_reading(
    tx: Tx, work: Callable[Concatenate[Tx, P], T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    before = changes(tx)
    result = work(tx, *args, **kwargs)
    if changes(tx) != before:
        raise RuntimeError(f"{work} changed the ledger: hand it to transact, not to read")
    return result


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Refuse a transaction inside a transaction: it would wait for itself."""
    if _inside.get():
        raise RuntimeError("transact inside transact would wait for itself")
    entered = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(entered)
