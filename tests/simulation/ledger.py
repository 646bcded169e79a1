"""The ledger of a simulated daemon: real SQLite, whose newest commits a world can take away."""

import tempfile
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from orchestrator.daemon import surroundings
from orchestrator.store.database import InlineDatabase, Tx
from tests.simulation.effects import Effects
from tests.simulation.process import current

P = ParamSpec("P")
T = TypeVar("T")
IMAGES_KEPT = 8


class SimLedger:
    """Counts transactions as effects; keeps the last images that were committed.

    `images` outlives the process: the world restores from it what a power cut left.
    """

    def __init__(self, inner: InlineDatabase, effects: Effects, images: deque[bytes]) -> None:
        self._inner = inner
        self._effects = effects
        self._images = images
        self.commits = 0
        self._keep()

    async def transact(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        name = getattr(work, "__name__", "work").strip("_")
        self._effects.moment(f"before transact {name}")
        result = await self._inner.transact(work, *args, **kwargs)
        self.commits += 1
        self._keep()
        self._effects.moment(f"after transact {name}")
        return result

    async def read(
        self, work: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        owner = current()
        if owner is not None:
            owner.check()
        return await self._inner.read(work, *args, **kwargs)

    async def backup(self, into: Path) -> None:
        await self._inner.backup(into)

    async def vacuum(self) -> None:
        await self._inner.vacuum()

    async def close(self) -> None:
        owner = current()
        if owner is None or owner.alive:
            await self._inner.close()

    def bury(self) -> None:
        """Let go of the file after the process died; what SQLite does then is undone later."""
        self._inner._connection.close()
        self._inner._engine.dispose()

    def _keep(self) -> None:
        self._images.append(self._inner._aside(_serialised))


def _serialised(connection: Tx) -> bytes:
    driver: Any = connection.connection.driver_connection
    return bytes(driver.serialize())


def restore(file: Path, image: bytes | None) -> None:
    """Put an image in the place of the ledger's file; None takes the ledger away."""
    for name in (file, Path(f"{file}-wal"), Path(f"{file}-shm"), Path(f"{file}-journal")):
        name.unlink(missing_ok=True)
    if image is not None:
        file.write_bytes(image)
        file.chmod(0o600)


async def open_ledger(file: Path, now: datetime) -> InlineDatabase:
    """Open a ledger. What SQLAlchemy has compiled once is not compiled again in the next life."""
    inner = await InlineDatabase.open(
        f"sqlite:///{file}", migrations=surroundings.migrations(), now=now
    )
    if not _compiled:
        _compiled.append((inner._engine.dialect, inner._engine._compiled_cache))
    dialect, cache = _compiled[0]
    for where in (inner._engine, inner._connection):  # the cache is keyed by the dialect
        where.dialect = dialect
    inner._engine._compiled_cache = cache
    return inner


_compiled: list[tuple[Any, Any]] = []


async def first_image(now: datetime) -> bytes:
    """Return a new ledger as the first life of every world finds it, migrated once for all."""
    if not _first:
        with tempfile.TemporaryDirectory() as folder:
            inner = await open_ledger(Path(folder) / "new.db", now)
            _first.append(inner._aside(_serialised))
            await inner.close()
    return _first[0]


_first: list[bytes] = []


def new_images() -> deque[bytes]:
    """Make the memory of committed images, newest last."""
    return deque(maxlen=IMAGES_KEPT)
