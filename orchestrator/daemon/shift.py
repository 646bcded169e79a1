"""One shift: the stages at work under one set of settings, from the first look to the drain.

The life around it (lock, ledger, board, status socket) outlasts the shift. When the settings are
read again and can be used, the shift ends as at a stop, and the next one begins as at a start.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog

from orchestrator.config.settings import Paths, Settings
from orchestrator.daemon import identity, surroundings, translation
from orchestrator.daemon.assembly import Assembly
from orchestrator.daemon.conditions import Conditions
from orchestrator.daemon.enduring import Enduring
from orchestrator.daemon.livefacts import LiveFacts
from orchestrator.daemon.opening import Opened, adapters, rules
from orchestrator.daemon.orders import Orders
from orchestrator.daemon.project import OneProject, Policies, Told
from orchestrator.daemon.signals import Ending, Stop
from orchestrator.daemon.weather import Weather
from orchestrator.domain.evidence import Start
from orchestrator.domain.ids import ProjectName
from orchestrator.gemini.client import Gemini
from orchestrator.log import tell
from orchestrator.service import heap, systemd
from orchestrator.spool.pool import Workers
from orchestrator.spool.thrift import Thrifty
from orchestrator.spool.work import WorkFolder
from orchestrator.status.assembly import StatusRoom
from orchestrator.status.board import Board
from orchestrator.store.journal import Journal

PROJECT = ProjectName("default")
STATUS_EVERY = timedelta(seconds=1)
Looks: TypeAlias = Sequence[Callable[[], None]]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Life:
    """What outlasts a shift. `changed` is rung when something was recorded."""

    opened: Opened
    room: StatusRoom
    orders: Orders
    changed: asyncio.Event
    service: systemd.Notifier
    stop: Stop


async def work(settings: Settings, life: Life, policies: Policies, start: Start) -> None:
    """Run the stages until `life.stop` is set; `start` says how far the ledger can be trusted."""
    opened, room = life.opened, life.room
    clock, who, paths = opened.clock, opened.who, settings.paths
    conditions = Conditions(room.board, clock)
    weather = Weather(_kept_in(paths), paths.inbox, conditions.troubled)
    enduring = Enduring(opened.database, weather, clock)
    journal = Journal(enduring, clock, who.epoch, listeners=[tell])
    gemini = Gemini(
        translation.service(settings),
        settings.api_key,
        who.install,
        clock,
        observe=room.metrics.called,
        progressed=translation.upload_progress(room),
    )
    async with _hands(settings, life) as workers, gemini:
        told = Told(
            scanned=lambda scan: room.board.scanned(scan, clock.now()),
            listed=room.metrics.listed,
        )
        project = OneProject(
            PROJECT,
            journal,
            clock,
            who.install,
            policies,
            start,
            lambda: gemini.jobs.account,
            _first_of(
                conditions.watched(surroundings.Room(paths.work, settings.service.min_free_bytes)),
                weather.obstacle,
            ),
            told,
        )
        world = adapters(settings, opened, gemini, workers, room)
        assembly = Assembly(
            journal,
            project,
            who.install,
            world,
            policies,
            rules(settings),
            conditions.troubled,
            partial(identity.end_doubt, paths.state_dir),
            weather.passes,
        )
        weather.over = assembly.try_again
        journal.listeners.append(lambda _recorded: life.changed.set())
        assert isinstance(world.work, WorkFolder), "the daemon works on folders"
        facts = LiveFacts(room, assembly, world.work, paths)
        journal.listeners.append(facts.hear)
        at_once = replace(assembly.control, journal=replace(journal, ledger=opened.database))
        async with life.orders.given_to(at_once):
            log.info("daemon.ready", inbox=str(paths.inbox), socket=str(paths.socket))
            with closing(weather):
                leftovers = _Leftovers(workers)
                looks = (facts.look, weather.look, workers.rest, leftovers.look)
                await _drive(facts, life, looks)


@asynccontextmanager
async def _hands(settings: Settings, life: Life) -> AsyncIterator[Thrifty]:
    """Open the threads and processes of a shift.

    At a reload it ends when none of them writes any more: the next shift does the same work anew.
    """
    calls = ThreadPoolExecutor(thread_name_prefix="call")
    asyncio.get_running_loop().set_default_executor(calls)
    workers = Thrifty(partial(Workers, settings.workers))
    try:
        yield workers
    finally:
        if life.stop.is_reload:
            await _idle(life, (workers, calls))
        else:
            workers.shutdown(wait=False, cancel_futures=True)


async def _idle(life: Life, hands: Sequence[Executor]) -> None:
    """Wait until what was begun is done, unless the daemon is to stop; the watchdog is fed."""

    def let_end() -> None:
        for each in hands:
            each.shutdown(wait=True, cancel_futures=True)

    waiting = ThreadPoolExecutor(1, thread_name_prefix="waiting")
    ended = asyncio.get_running_loop().run_in_executor(waiting, let_end)
    while life.stop.is_reload and not ended.done():
        life.service.watchdog()
        await asyncio.wait([ended], timeout=STATUS_EVERY.total_seconds())
    waiting.shutdown(wait=False)


async def _drive(facts: LiveFacts, life: Life, looks: Looks) -> None:
    """Run the stages until they are to end, with the pulse beside them."""
    board = facts.room.board
    board.phase = "running"
    async with asyncio.TaskGroup() as group:
        pulse = group.create_task(_pulse(board, life.service, looks))
        life.service.ready("running")
        await facts.assembly.run(life.stop.event)
        if life.stop.ending is Ending.STOP:
            board.phase = "stopping"
            life.service.stopping("stopping")
        pulse.cancel()


async def _pulse(board: Board, service: systemd.Notifier, looks: Looks) -> None:
    """Feed the watchdog from the loop itself, and say in a line what goes on."""
    pace = systemd.watchdog_pace(os.environ, os.getpid())
    wait = min(pace or STATUS_EVERY, STATUS_EVERY).total_seconds()
    while True:
        for look in looks:
            look()
        service.watchdog()
        service.status(translation.status_line(board))
        await asyncio.sleep(wait)


@dataclass(slots=True)
class _Leftovers:
    """Gives memory back that work has left free, once the threads have had nothing new to do."""

    workers: Thrifty
    seen: int = 0
    is_tidy: bool = True

    def look(self) -> None:
        """Look whether work has ended since the last look."""
        calls = self.workers.calls
        if calls == self.seen and not self.is_tidy:
            heap.give_back()
        self.is_tidy, self.seen = calls == self.seen, calls


def _kept_in(paths: Paths) -> tuple[Path, ...]:
    """Return the folders that answers, and what is known of them, are kept in."""
    ledger = () if paths.ledger is None else (paths.ledger.parent,)
    return (*ledger, paths.state_dir, paths.work, paths.outbox, paths.rejected)


def _first_of(*obstacles: Callable[[], str | None]) -> Callable[[], str | None]:
    """Return what tells the first obstacle that there is; all of them are looked at."""

    def look() -> str | None:
        return next(filter(None, [obstacle() for obstacle in obstacles]), None)

    return look
