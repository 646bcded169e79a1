import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from orchestrator.domain import batches as machine, request_sets as sets
from orchestrator.domain.batches import Part, Planned, Tally, Usage
from orchestrator.domain.ids import (
    AccountFingerprint,
    ContentHash,
    Fingerprint,
    IdempotencyKey,
    JobName,
    Ordinal,
    ProjectName,
    SetId,
    digest32,
)
from orchestrator.domain.jobs import JobState
from orchestrator.domain.request_sets import Flags, Indexed, Received, Running, SetInfo
from orchestrator.status.assembly import Process, StatusRoom
from orchestrator.status.board import Project
from orchestrator.status.connections import Bounds
from orchestrator.status.control import Impossible
from orchestrator.store import batches as stored_batches, request_sets as stored_sets
from orchestrator.store.database import Database
from orchestrator.store.transitions import apply

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MIGRATIONS = Path(__file__).parents[2] / "migrations"
DEFAULT = ProjectName("default")


@dataclass
class Clock:
    """A clock that stands still until it is moved; waiting takes no time."""

    at: datetime = START
    passed: float = 0.0

    def now(self) -> datetime:
        return self.at

    def elapsed(self) -> float:
        return self.passed

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(0)

    def advance(self, **kwargs: float) -> None:
        self.at += timedelta(**kwargs)
        self.passed += timedelta(**kwargs).total_seconds()


def cost(model: str, usage: Usage) -> int | None:
    """One micro-dollar a token, for models of Google's."""
    return usage.prompt + usage.candidates if model.startswith("gemini") else None


@dataclass
class Orders:
    """Notes what was ordered; refuses to pause, and breaks on what it is told to."""

    broken: str = ""
    refused: str = "pause"
    given: list[tuple[str | None, ...]] = field(default_factory=list)

    async def act(self, verb, target, order) -> str:
        if verb == self.refused:
            raise Impossible("the set is delivered", "nothing is left to pause")
        if verb == self.broken:
            raise RuntimeError("a canary of ours")
        told = [getattr(order, name, None) for name in ("token", "job", "cap")]
        self.given.append((verb.value, target, *told))
        return f"{verb} is noted"


def info(number: int = 1, **changes: object) -> SetInfo:
    whole = SetInfo(
        id=SetId(digest32("set", str(number))),
        name=f"set-{number}",
        profile="",
        project=DEFAULT,
        kind="generate",
        model="gemini-flash",
        folder=f"folder-{number}",
        outbox=f"set-{number}",
        fingerprint=Fingerprint(f"auto-{number}"),
        content=ContentHash("ab" * 32),
        content_bytes=4096,
        requests=10,
        flawed=1,
        tokens=1000,
        priority=0,
        run=0,
        options="{}",
        answered_from=None,
        received_at=START + timedelta(seconds=number),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def part(of: SetInfo, serial: int = 1, **changes: object) -> Part:
    whole = Part(
        token=IdempotencyKey(f"orc1-abcde-{of.id}-1-{digest32(str(serial))}"),
        request_set=of.id,
        serial=serial,
        generation=1,
        lo=Ordinal((serial - 1) * 3),
        hi=Ordinal(serial * 3),
        count=3,
        wire_bytes=300,
        tokens=100,
        ranges="r" * 10,
        mode="inline",
        kind=of.kind,
        model=of.model,
        project=of.project,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


class World:
    """A status room over a real ledger, and ways to make things happen in it."""

    def __init__(self, database: Database, clock: Clock, folder: Path) -> None:
        self.database = database
        self.clock = clock
        self.folder = folder
        self.path = folder / "s"
        self.orders = Orders()
        self.room = StatusRoom(
            Process("9.9", 4711, START),
            [Project(DEFAULT, 100)],
            cost,
            database,
            clock,
        )
        self.room.board.phase = "running"

    @asynccontextmanager
    async def serving(self, bounds: Bounds | None = None) -> AsyncIterator["World"]:
        async with self.room.serving(self.orders, self.path, bounds=bounds):
            yield self

    async def receive(self, of: SetInfo) -> Received:
        await self.database.transact(stored_sets.insert, self.clock.now(), Received(of))
        return Received(of)

    async def run(self, of: SetInfo, *parts: Part) -> tuple[Running, list[Planned]]:
        """Take a set as far as its first plan."""
        received = await self.receive(of)
        planned = [Planned(one, 1, self.clock.now()) for one in parts]
        start = sets.start(Indexed(of), 1 << 20)

        def begin(tx) -> None:
            apply(tx, self.clock.now(), sets.index(received), start)
            stored_batches.insert(tx, self.clock.now(), *planned)

        await self.database.transact(begin)
        return start.after, planned

    async def move(self, *moves) -> None:
        await self.database.transact(apply, self.clock.now(), *moves)

    async def submit(self, batch: Planned, job: str = "batches/j1") -> machine.Submitted:
        account = AccountFingerprint("cafe0000")
        intent = machine.intend(batch, self.clock.now(), account, 1)
        confirmed = machine.confirm(intent.after, JobName(job), self.clock.now(), "answered")
        await self.move(intent, confirmed)
        return confirmed.after

    async def collect(self, batch: machine.Submitted, tally: Tally, usage: Usage) -> None:
        ended = machine.end(batch, JobState.SUCCEEDED, None, self.clock.now())
        await self.move(ended, machine.collect(ended.after, tally, usage, self.clock.now()))

    async def flag(self, of: SetInfo, before: Flags, after: Flags, why: str) -> None:
        now = self.clock.now()
        await self.database.transact(stored_sets.flag, now, of.id, before, after, why)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def short():
    """A folder with a path so short that a socket fits into it."""
    folder = Path(tempfile.mkdtemp(prefix="o", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def world(short, clock):
    database = await Database.open(f"sqlite:///{short}/ledger.db", migrations=MIGRATIONS, now=START)
    yield World(database, clock, short)
    await database.close()


@pytest.fixture
def make():
    """The makers of values: `make.info(…)` and `make.part(…)`."""

    @dataclass(frozen=True)
    class Make:
        info = staticmethod(info)
        part = staticmethod(part)
        cost = staticmethod(cost)
        orders = Orders
        START = START

    return Make()
