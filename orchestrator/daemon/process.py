"""The process: opens what is real, tells systemd, heeds signals, and closes in the right order.

Trouble: what cannot be opened is said in one line and nothing is started; an unexpected error ends
the process with a traceback in the log, and systemd starts it again.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

import orchestrator
from orchestrator.config.errors import ConfigError
from orchestrator.config.settings import Paths, Settings, load
from orchestrator.daemon import identity, surroundings, translation
from orchestrator.daemon.assembly import Assembly
from orchestrator.daemon.clocks import WallClock
from orchestrator.daemon.conditions import Conditions
from orchestrator.daemon.livefacts import LiveFacts
from orchestrator.daemon.opening import Opened, adapters, opened_for, rules
from orchestrator.daemon.orders import Orders
from orchestrator.daemon.project import OneProject, Told
from orchestrator.daemon.signals import Ending, Stop, heed_signals
from orchestrator.domain.ids import ProjectName
from orchestrator.gemini.client import Gemini
from orchestrator.log import relevel, tell
from orchestrator.service import host, lock, systemd
from orchestrator.spool.pool import Workers
from orchestrator.spool.thrift import Thrifty
from orchestrator.spool.work import WorkFolder
from orchestrator.status.assembly import Process, StatusRoom
from orchestrator.status.board import Project
from orchestrator.store import lives
from orchestrator.store.journal import Journal

log = structlog.get_logger()
PROJECT = ProjectName("default")
STATUS_EVERY = timedelta(seconds=1)


def run(settings: Settings) -> int:
    """Run the daemon until a signal ends it; returns the exit status.

    Raises Occupied, LedgerError, ConfigError or OSError when it cannot start.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until a life can heed it
    paths = settings.paths
    surroundings.make(paths)
    with lock.state_lock(paths.state_dir, datetime.now(UTC)):
        identity.check_machine(paths.state_dir, host.machine_id())
        while asyncio.run(_live(settings, paths)) is Ending.RELOAD:
            settings = _read_again(settings)
    return 0


def _read_again(before: Settings) -> Settings:
    """Read the settings again; what cannot be used changes nothing, the folders least of all."""
    try:
        after = load(before.file)
    except ConfigError as error:
        log.error("settings.refused", why=str(error))  # noqa: TRY400 - the message says it all
        return before
    if moved := _moved(before.paths, after.paths):
        why = f"{', '.join(moved)} of [service] change only with a restart; nothing was changed"
        log.error("settings.refused", why=why)
        return before
    relevel(after.service.log_level)
    log.info("settings.read", file=str(after.file), profiles=sorted(after.profiles))
    if after.service.log_format != before.service.log_format:
        log.warning("settings.questioned", why="log_format changes only with a restart")
    return after


def _moved(before: Paths, after: Paths) -> list[str]:
    """Name the places that differ. The ledger is told by its URL, which may hold a password."""
    names = {field.name for field in fields(Paths)} - {"ledger", "backups"}
    moved = {name for name in names if getattr(before, name) != getattr(after, name)}
    return sorted(name.removesuffix("_url") for name in moved)


async def _live(settings: Settings, paths: Paths) -> Ending:
    began = host.boottime()
    stop = Stop(asyncio.Event())
    heed_signals(stop)
    clock = WallClock()
    service = systemd.Notifier.from_environ(os.environ)
    async with opened_for(paths, clock) as opened:
        log.info(
            "daemon.started",
            version=orchestrator.__version__,
            pid=os.getpid(),
            epoch=opened.who.epoch,
            state_dir=str(paths.state_dir),
            base_url=settings.gemini.base_url,
            clean=opened.who.clean,
        )
        await _serve(settings, opened, service, stop)
        await opened.database.transact(lives.end_life, clock.now(), opened.who.epoch)
    log.info("daemon.stopped", seconds=round(host.boottime() - began, 1))
    return stop.ending


async def _serve(settings: Settings, opened: Opened, service: systemd.Notifier, stop: Stop) -> None:
    clock, who, paths = opened.clock, opened.who, settings.paths
    policies = translation.policies(settings)
    journal = Journal(opened.database, clock, who.epoch, listeners=[tell])
    board = [Project(PROJECT, policies.limits.active_jobs_max)]
    process = Process(orchestrator.__version__, os.getpid(), clock.now())
    room = StatusRoom(process, board, policies.purse.cost, opened.database, clock)
    conditions = Conditions(room.board, clock)
    workers = Thrifty(partial(Workers, settings.workers))
    gemini = Gemini(
        translation.service(settings),
        settings.api_key,
        who.install,
        clock,
        observe=room.metrics.called,
        progressed=translation.upload_progress(room),
    )
    try:
        async with gemini:
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
                who.start,
                lambda: gemini.jobs.account,
                conditions.watched(surroundings.Room(paths.work, settings.service.min_free_bytes)),
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
            )
            changed = asyncio.Event()
            journal.listeners.append(lambda _recorded: changed.set())
            assert isinstance(world.work, WorkFolder), "the daemon works on folders"
            facts = LiveFacts(room, assembly, world.work, paths)
            journal.listeners.append(facts.hear)
            group_name = settings.service.socket_group
            async with room.serving(Orders(assembly.control), paths.socket, group_name):
                log.info("daemon.ready", inbox=str(paths.inbox), socket=str(paths.socket))
                room.board.phase = "running"
                await _drive(facts, changed, service, stop, workers.rest)
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


async def _drive(
    facts: LiveFacts,
    changed: asyncio.Event,
    service: systemd.Notifier,
    stop: Stop,
    rest: Callable[[], None],
) -> None:
    """Run everything until it is to end; the background goes last."""
    assembly, room = facts.assembly, facts.room
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(room.feed.run(changed)),
            group.create_task(room.watch_lag()),
            group.create_task(_pulse(facts, service, rest)),
        ]
        service.ready("running")
        await assembly.run(stop.event)
        room.board.phase = "stopping"
        if stop.ending is Ending.STOP:
            service.stopping("stopping")
        else:
            service.reloading()
        for task in background:
            task.cancel()


async def _pulse(facts: LiveFacts, service: systemd.Notifier, rest: Callable[[], None]) -> None:
    """Feed the watchdog from the loop itself, and say in a line what goes on."""
    pace = systemd.watchdog_pace(os.environ, os.getpid())
    wait = min(pace or STATUS_EVERY, STATUS_EVERY).total_seconds()
    while True:
        facts.look()
        rest()
        service.watchdog()
        service.status(translation.status_line(facts.room.board))
        await asyncio.sleep(wait)
