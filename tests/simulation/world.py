"""A whole world: the provider, the daemon's lives one after another, the weather, the judgement.

`live_through` takes a world from its drops to its rest and says what was wrong. Safety is judged on
the provider's own books and on the folders; liveness by a bound on virtual time.
"""

import asyncio
import logging
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import structlog
from aiohttp import web

from orchestrator.domain.request_sets import is_open
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.server import create_app
from orchestrator.spool import atomic
from orchestrator.stages import loop as stage_loop
from orchestrator.stages.control import NotPossible
from orchestrator.store import request_sets as set_rows
from orchestrator.store.journal import Recorded
from tests.judging.books import Books, read_books
from tests.judging.results import finished, places, torn, wrong_rejects, wrong_results
from tests.simulation.clock import SimClock
from tests.simulation.disk import TMPFS, Disk
from tests.simulation.effects import Death, Effects
from tests.simulation.ledger import new_images, restore
from tests.simulation.life import (
    ADDRESS,
    LOOKS_SECONDS_MAX,
    Life,
    Surroundings,
    world_settings,
)
from tests.simulation.loop import SimLoop, simulate
from tests.simulation.network import Fate, SimTransport
from tests.simulation.process import Killed, Process
from tests.simulation.weather import SPOILED, Order, Weather

LOOK_SECONDS = 600.0
TIDY_SECONDS = 4000.0
ASK_AGAIN_SECONDS = 300.0
REST_SECONDS = 60.0
DOWN_SECONDS_MAX = 1800.0
LIVES_MAX = 60
FOLDERS = ("inbox", "work", "outbox", "rejected", "backups")


@dataclass
class Outcome:
    """What became of a world. No findings means that all went well."""

    findings: list[str] = field(default_factory=list)
    deaths: Counter[Death] = field(default_factory=Counter)
    moments: int = 0
    days: float = 0.0
    trace: str = ""
    books: Books | None = None
    states: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    labels: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)  # the folders that a reader takes for done
    syncs: int = 0


def live_through(weather: Weather, seed: int = 0, *, deaf: frozenset[int] = frozenset()) -> Outcome:
    """Run one world from its drops to its rest. `deaf` numbers fsyncs that are not carried out."""
    for name in ("aiohttp.server", "aiohttp.web", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _scratch() as root, _patient_loops(LOOKS_SECONDS_MAX):
        return simulate(lambda loop: World(loop, root, weather, seed, deaf).run(), seed)


class World:
    """Everything outside of the daemon's process, and the daemon's lives in it."""

    def __init__(
        self, loop: SimLoop, root: Path, weather: Weather, seed: int, deaf: frozenset[int]
    ) -> None:
        self.loop = loop
        self.weather = weather
        self.outcome = Outcome()
        listen_for_failures(self.outcome.findings)
        self.state = root / "state"
        for name in FOLDERS:
            (self.state / name).mkdir(parents=True)
        self.chance = Random(f"world {seed}")
        self.clock = SimClock(loop)
        self.effects = Effects(weather.deaths, loop.time)
        self.disk = Disk(self.state)
        self.disk.deaf = deaf
        self.emulator = Emulator(
            weather.settings, clock=self.clock.now, state_dir=root / "emulator"
        )
        self.emulator.faults.add(weather.faults)
        self.around = Surroundings(
            state=self.state,
            clock=self.clock,
            effects=self.effects,
            images=new_images(),
            hear=self._hear,
            report=self.outcome.findings.append,
            met=self._met,
            settings=world_settings(),
        )
        self.process: Process | None = None
        self.boot = 1
        self.orders = list(weather.orders)
        self.may_fail = weather.may_fail or weather.refuses_requests
        self.snapshots: deque[bytes] = deque(maxlen=3)
        loop.network.fate = self._fate
        loop.network.refuse = self._refuses
        loop.set_exception_handler(self._unexpected)

    async def run(self) -> Outcome:
        """Drop, live, die, live on, come to rest, judge."""
        with atomic.observed(self.effects.folder), self.disk.listening():
            runner = web.AppRunner(create_app(self.emulator), access_log=None)
            await runner.setup()
            host, _, port = ADDRESS.partition(":")
            await web.TCPSite(runner, host, int(port)).start()
            for drop in self.weather.drops:
                drop.put(self.state / "inbox")
            for name in self.weather.taken:
                (self.state / "outbox" / name).mkdir()
                (self.state / "outbox" / name / "letter.txt").write_text("somebody else's")
            self.disk.settle()
            calm = self.loop.call_at(self.weather.calm_after, self._calm)
            await self._live_on()
            calm.cancel()
            await runner.cleanup()
        self._finish()
        self.emulator.close()
        return self.outcome

    # ---- lives --------------------------------------------------------------------------------

    async def _live_on(self) -> None:
        for number in range(1, LIVES_MAX + 1):
            if await self._live(number):
                return
            await self._after_death()
        self.outcome.findings.append(f"still restless after {LIVES_MAX} lives")

    async def _live(self, number: int) -> bool:
        """Live until rest (True) or death (False)."""
        life = Life(self.around, f"boot-{self.boot}", number)
        self.process = process = Process(f"life {number}")
        main = process.start(life.run())
        resting = asyncio.ensure_future(self._rest(life))
        operating = asyncio.ensure_future(self._operate(life, process))
        dying = asyncio.ensure_future(process.died.wait())
        await asyncio.wait([main, resting, dying], return_when=asyncio.FIRST_COMPLETED)
        if process.alive and not main.done():
            life.stop.set()
            await asyncio.wait([main], timeout=3600)
        for task in (resting, dying, operating):
            task.cancel()
        if process.alive:
            return await self._ended(life, main, number)
        self.effects.note("died")
        copies = {path: path.read_bytes() for path in self._ledger_files()}
        await process.buried()
        if life.ledger is not None:
            life.ledger.bury()
        for path in self._ledger_files():
            path.unlink()
        for path, data in copies.items():
            path.write_bytes(data)
        return False

    async def _ended(self, life: Life, main: "asyncio.Task[None]", number: int) -> bool:
        if not main.done():
            self.outcome.findings.append(f"life {number} does not stop when it is asked to")
        elif (error := main.exception()) is not None:
            self.outcome.findings.append(f"life {number} crashed: {_flat(error)}")
        else:
            return True
        assert self.process is not None
        self.process.kill()
        await self.process.buried()
        if life.ledger is not None:
            life.ledger.bury()
        return True

    async def _rest(self, life: Life) -> None:
        """Wait until nothing is left to do, or until patience is over."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.outcome.findings += [f"visible: {one}" for one in torn(self.state / "outbox")]
            if self.loop.time() > self.weather.rest_within:
                self.outcome.findings.append(
                    f"no rest after {self.weather.rest_within / 86400:g} days: {self._open()}"
                )
                return
            if not self._open() and not self.orders and not await self._works(life):
                await asyncio.sleep(TIDY_SECONDS)  # for what is tidied up behind it
                return

    def _open(self) -> list[str]:
        done = {*places(self.state / "outbox"), *self._rejected()}
        return [drop.name for drop in self.weather.drops if drop.name not in done]

    def _rejected(self) -> set[str]:
        found = {path.name for path in (self.state / "rejected").iterdir()}
        return found & {SPOILED.name}

    async def _works(self, life: Life) -> bool:
        """Tell whether a set is still under way, as one that is retried may be.

        A ledger that forgot a delivery, whose job is deleted by then, holds the set for a person.
        """
        stored = [] if life.ledger is None else await life.ledger.read(set_rows.open_sets)
        return any(one.flags.held is None for one in stored)

    # ---- the operator -------------------------------------------------------------------------

    async def _operate(self, life: Life, process: Process) -> None:
        """Give the orders of this world; one whose answer died with a life is given again."""
        while self.orders:
            order = min(self.orders, key=lambda one: one.at)
            await asyncio.sleep(max(order.at - self.loop.time(), 0))
            done = await asyncio.shield(process.start(self._obey(life, order)))
            self.orders.remove(order)
            if not done:  # one that waits lets the others go first
                self.orders.append(replace(order, at=self.loop.time() + ASK_AGAIN_SECONDS))

    async def _obey(self, life: Life, order: Order) -> bool:
        """Carry out an order inside the daemon; False while there is nothing to do it to."""
        if life.ledger is None or life.assembly is None:
            return False
        stored = await life.ledger.read(set_rows.find, order.drop)
        if stored is None:
            return False
        if order.verb == "retry" and is_open(stored.value) and stored.flags.held is None:
            return False
        try:
            await getattr(life.assembly.control, order.verb)(stored.value.info.id)
        except NotPossible:
            self.outcome.reasons[f"order {order.verb} refused"] += 1
        else:
            self.outcome.reasons[f"order {order.verb}"] += 1
        return True

    async def _after_death(self) -> None:
        """Let the world be as the death left it, for a while."""
        death = self.effects.struck[-1].death
        self.outcome.deaths[death] += 1
        if death == "power cut":
            self._cut_power()
        await asyncio.sleep(self.chance.uniform(1, DOWN_SECONDS_MAX))

    def _cut_power(self) -> None:
        self.boot += 1
        self.disk.cut(self.chance if self.weather.torn else None)
        images = self.around.images
        lost = min(self.chance.randint(0, self.weather.rollback), len(images) - 1)
        if self.weather.ledger_lost and self.outcome.deaths["power cut"] == 1:
            restore(self.around.ledger_file, None)
            images.clear()
        elif lost > 0:
            for _ in range(lost):
                images.pop()
            restore(self.around.ledger_file, images[-1])

    def _ledger_files(self) -> list[Path]:
        return sorted(self.state.glob("orchestrator.db*"))

    # ---- weather ------------------------------------------------------------------------------

    def _fate(self, end: SimTransport, data: bytes) -> Fate:
        connection = end.label.partition(" ")[2]
        if end.label.startswith("client"):
            self.effects.sending(connection, data)
        elif self.effects.answering(connection, data, self.process):
            return "swallowed"
        weather = self.weather
        if not (weather.resets or weather.holes or weather.cuts):
            return "arrives"
        drawn = self.chance.random()
        if drawn < weather.resets:
            return "reset"
        if drawn < weather.resets + weather.holes:
            return "swallowed"
        return "cut" if drawn < weather.resets + weather.holes + weather.cuts else "arrives"

    def _refuses(self, _address: str) -> bool:
        return self.weather.refusals > 0 and self.chance.random() < self.weather.refusals

    def _calm(self) -> None:
        """From here on nothing goes wrong any more."""
        self.emulator.faults.clear()
        self.effects.deaths.clear()
        self.weather = self.weather.calmed()

    # ---- what is heard and judged -------------------------------------------------------------

    def _hear(self, recorded: Recorded) -> None:
        for move in recorded.moves:
            before, after = move.before.state, move.after.state
            self.outcome.states[after] += 1
            self.outcome.edges[f"{before}>{after}"] += 1
            doubt = getattr(move.after, "doubt", None) or getattr(move.after, "reason", None)
            if doubt is not None:
                self.outcome.reasons[f"{after} {doubt}"] += 1
            self.effects.note(f"{before}>{after}")

    def _met(self, row: str) -> None:
        self.outcome.reasons[row] += 1

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if error is not None and not isinstance(error, Killed):
            self.outcome.findings.append(f"unexpected: {error!r}")

    def _finish(self) -> None:
        outcome, weather = self.outcome, self.weather
        booked = self._booked()
        outcome.books = read_books(self.emulator, booked=booked)
        outcome.findings += outcome.books.findings
        cancelled = {order.drop for order in weather.orders if order.verb == "cancel"}
        for cut in (False, True):  # of a cancelled set, what was not answered has an error
            outcome.findings += wrong_results(
                self.state / "outbox",
                [drop for drop in weather.drops if (drop.name in cancelled) is cut],
                may_fail=self.may_fail or cut,
                done=self._rejected(),
            )
        spoiled = [drop for drop in weather.drops if drop.name == SPOILED.name]
        outcome.findings += wrong_rejects(self.state / "rejected", spoiled)
        outcome.findings += self._leftovers()
        outcome.moments = self.effects.moments
        outcome.labels = self.effects.labels
        outcome.delivered = finished(self.state / "outbox")
        outcome.trace = self.effects.trace
        outcome.days = self.loop.time() / 86400
        outcome.syncs = self.disk.syncs

    def _booked(self) -> int:
        """Count the second jobs that the daemon itself has reported."""
        import sqlite3

        with sqlite3.connect(self.around.ledger_file) as ledger:
            rows = ledger.execute("SELECT kind FROM incidents").fetchall()
        ledger.close()
        for (kind,) in rows:
            self.outcome.reasons[f"incident {kind}"] += 1
        told = sum(kind == "paid_twice_suspected" for (kind,) in rows)
        doubled = sum(job.origin == "twin" for job in self.emulator.jobs.jobs.values())
        return min(
            int(told), doubled
        )  # within the bounds only the provider itself makes a second job

    def _leftovers(self) -> list[str]:
        """Name what should not lie about once everything is delivered."""
        left = [path for path in (self.state / "inbox").iterdir() if path.name[0] != "."]
        for name in ("outbox", "rejected"):
            left += [path for path in (self.state / name).rglob("*") if ".tmp" in path.name]
        if not self.outcome.deaths["power cut"]:  # it gives files new times, folders new names
            left += [path for path in (self.state / "work").rglob("*") if ".tmp" in path.name]
        return [f"left behind: {path.relative_to(self.state)}" for path in sorted(left)]


def listen_for_failures(findings: list[str]) -> None:
    """Let no log line be written, and note each stage that failed by anything but the disk."""

    def hear(_logger: object, _name: str, event: MutableMapping[str, Any]) -> NoReturn:
        if event["event"] == "stage.failed" and event["exc_info"]:
            findings.append(f"stage {event['stage']} failed on {event['item']}: {event['why']}")
        raise structlog.DropEvent

    structlog.configure(processors=[hear], cache_logger_on_first_use=False)


def _flat(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_flat(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"


@contextmanager
def _scratch() -> Iterator[Path]:
    """Make a folder in memory: fast, and inode numbers are used once there."""
    if not os.path.ismount(TMPFS):
        raise RuntimeError(f"{TMPFS} is no tmpfs: simulated disks need one")
    root = Path(tempfile.mkdtemp(prefix="world-", dir=TMPFS))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _patient_loops(idle_max: float = stage_loop.REST_SECONDS_MAX) -> Iterator[None]:
    """Let an item that was just worked on rest for longer, and perhaps stages that find nothing.

    Only time is lost by that.
    """
    was = stage_loop.REST_SECONDS, stage_loop.REST_SECONDS_MAX
    stage_loop.REST_SECONDS, stage_loop.REST_SECONDS_MAX = REST_SECONDS, idle_max
    try:
        yield
    finally:
        stage_loop.REST_SECONDS, stage_loop.REST_SECONDS_MAX = was
