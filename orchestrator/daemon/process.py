"""The process: opens what is real, tells systemd, heeds signals, and closes in the right order.

Trouble: what cannot be opened is said in one line and nothing is started; an unexpected error ends
the process with a traceback in the log, and systemd starts it again.
"""

import asyncio
import os
import signal
from dataclasses import fields
from datetime import UTC, datetime

import structlog

import orchestrator
from orchestrator.config.errors import ConfigError
from orchestrator.config.settings import Paths, Settings, load
from orchestrator.daemon import identity, surroundings, translation
from orchestrator.daemon.clocks import WallClock
from orchestrator.daemon.opening import Opened, opened_for
from orchestrator.daemon.orders import Orders
from orchestrator.daemon.project import Policies
from orchestrator.daemon.shift import PROJECT, Life, work
from orchestrator.daemon.signals import Ending, Stop, heed_signals
from orchestrator.domain.evidence import Start
from orchestrator.log import relevel
from orchestrator.service import heap, host, lock, systemd
from orchestrator.status.assembly import Process, StatusRoom
from orchestrator.status.board import Project
from orchestrator.status.listening import SocketRefused, regroup
from orchestrator.store import lives

log = structlog.get_logger()


def run(settings: Settings) -> int:
    """Run the daemon until a signal ends it; returns the exit status.

    Raises Occupied, LedgerError, ConfigError or OSError when it cannot start.
    """
    heap.keep_small()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until a life can heed it
    paths = settings.paths
    surroundings.make(paths)
    with lock.state_lock(paths.state_dir, datetime.now(UTC)):
        identity.check_machine(paths.state_dir, host.machine_id())
        asyncio.run(_live(settings, paths))
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


async def _live(settings: Settings, paths: Paths) -> None:
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


async def _serve(settings: Settings, opened: Opened, service: systemd.Notifier, stop: Stop) -> None:
    """Answer on the socket for the whole life, and work in shifts, one for each reload."""
    policies = translation.policies(settings)
    board = [Project(PROJECT, policies.limits.active_jobs_max)]
    process = Process(orchestrator.__version__, os.getpid(), opened.clock.now())
    room = StatusRoom(process, board, policies.purse.cost, opened.database, opened.clock)
    life = Life(opened, room, Orders(), asyncio.Event(), service, stop)
    path, group_name = settings.paths.socket, settings.service.socket_group
    async with room.serving(life.orders, path, group_name), asyncio.TaskGroup() as group:
        background = [
            group.create_task(room.feed.run(life.changed)),
            group.create_task(room.watch_lag()),
        ]
        start = opened.who.start
        while True:
            after = await _shift(settings, life, policies, start)
            if stop.ending is Ending.STOP:
                break
            settings, policies = after, translation.policies(after)
            start = identity.trust(settings.paths.state_dir)
            room.board.begin_anew(PROJECT, policies.limits.active_jobs_max, policies.purse.cost)
            stop.rearm()
        for task in background:
            task.cancel()


async def _shift(settings: Settings, life: Life, policies: Policies, start: Start) -> Settings:
    """Work until a stop or a reload; return the settings to go on with."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_heed_reloads(settings, life))
        await work(settings, life, policies, start)
        reading.cancel()
    return reading.result() if not reading.cancelled() else settings


async def _heed_reloads(settings: Settings, life: Life) -> Settings:
    """Read the settings at each SIGHUP; return the first that can be used.

    Also where nothing changed: what waits for a key or an account is tried at once.
    """
    while True:
        await life.stop.reread.wait()
        life.stop.reread.clear()
        life.service.reloading()
        after = _read_again(settings)
        if after is not settings and _regrouped(settings, after):
            life.stop.ask(Ending.RELOAD)
            return after
        life.service.ready("running")


def _regrouped(before: Settings, after: Settings) -> bool:
    """Let the socket's group be another, if it is to be; tell whether that could be done."""
    group = after.service.socket_group
    if group == before.service.socket_group:
        return True
    try:
        regroup(after.paths.socket, group)
    except SocketRefused as error:
        log.error("settings.refused", why=str(error))  # noqa: TRY400 - the message says it all
        return False
    return True
