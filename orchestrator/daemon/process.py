"""The process: opens what is real, tells systemd, heeds signals, and closes in the right order.

Trouble: what cannot be opened is said in one line and nothing is started; an unexpected error ends
the process with a traceback in the log, and systemd starts it again.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

import structlog

import orchestrator
from orchestrator.config.errors import ConfigError
from orchestrator.config.options import choose
from orchestrator.config.settings import Paths, Settings, load
from orchestrator.daemon import identity, surroundings, translation
from orchestrator.daemon.assembly import Adapters, Assembly, Rules
from orchestrator.daemon.clocks import Chance, WallClock
from orchestrator.daemon.conditions import Conditions
from orchestrator.daemon.identity import Identity
from orchestrator.daemon.orders import Orders
from orchestrator.daemon.project import OneProject, Told
from orchestrator.domain.ids import InstallId, ProjectName
from orchestrator.domain.options import Choice
from orchestrator.gemini.client import Gemini
from orchestrator.log import tell
from orchestrator.service import host, lock, systemd
from orchestrator.spool.inbox import FolderInbox
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Workers
from orchestrator.spool.work import WorkFolder
from orchestrator.status.assembly import Process, StatusRoom
from orchestrator.status.board import Project
from orchestrator.store import fsck, lives
from orchestrator.store.database import Database
from orchestrator.store.errors import CorruptLedger
from orchestrator.store.journal import Journal

log = structlog.get_logger()
PROJECT = ProjectName("default")
ANSWER_LINE_BYTES_MAX = 256 * 1024 * 1024
BALLAST = "ballast"
STATUS_EVERY = timedelta(seconds=5)
FINDINGS_SHOWN = 3


def run(settings: Settings) -> int:
    """Run the daemon until a signal ends it; returns the exit status.

    Raises Occupied, LedgerError, ConfigError or OSError when it cannot start.
    """
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
        log.error("settings.refused", why=str(error))
        return before
    if after.paths != before.paths:
        log.error("settings.refused", why="folders change only with a restart of the daemon")
        return before
    log.info("settings.read", file=str(after.file), profiles=sorted(after.profiles))
    return after


class Ending(Enum):
    """Why a life of the daemon ended."""

    STOP = "stop"
    RELOAD = "reload"


@dataclass(slots=True)
class Stop:
    """Tells the stages to end, and remembers why."""

    event: asyncio.Event
    ending: Ending = Ending.STOP

    def ask(self, ending: Ending) -> None:
        """End; a stop is never turned into a reload."""
        if not self.event.is_set():
            self.ending = ending
            self.event.set()


@dataclass(frozen=True, slots=True)
class _Opened:
    """What was opened for one life."""

    database: Database
    who: Identity
    clock: WallClock


async def _live(settings: Settings, paths: Paths) -> Ending:
    began = host.boottime()
    stop = Stop(asyncio.Event())
    _heed_signals(stop)
    clock = WallClock()
    service = systemd.Notifier.from_environ(os.environ)
    async with _opened(paths, clock) as opened:
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


@asynccontextmanager
async def _opened(paths: Paths, clock: WallClock) -> AsyncIterator[_Opened]:
    database = await Database.open(
        paths.database_url,
        migrations=surroundings.migrations(),
        now=clock.now(),
        backups=paths.backups,
        ballast=paths.state_dir / BALLAST,
    )
    try:
        fresh = InstallId(secrets.token_hex(8))
        who = await identity.begin(database, paths.state_dir, clock, host.boot_id(), fresh)
        lock.own_inbox(paths.inbox, who.install, paths.state_dir)
        findings = await database.read(fsck.check)
        if findings:
            said = "; ".join(f"{one.invariant} {one.where}: {one.what}" for one in findings[:3])
            raise CorruptLedger(
                f"{paths.ledger}: {len(findings)} invariants are broken ({said}); "
                "run `orchestrator fsck` for all of them and what to do"
            )
        yield _Opened(database, who, clock)
    finally:
        await database.close()


async def _serve(
    settings: Settings,
    paths: Paths,
    opened: _Opened,
    service: systemd.Notifier,
    stop: Stop,
) -> None:
    clock, who = opened.clock, opened.who
    policies = translation.policies(settings)
    journal = Journal(opened.database, clock, who.epoch, listeners=[tell])
    board = [Project(PROJECT, policies.limits.active_jobs_max)]
    process = Process(orchestrator.__version__, os.getpid(), clock.now())
    room = StatusRoom(process, board, policies.purse.cost, opened.database, clock)
    conditions = Conditions(room.board, clock)
    workers = Workers(settings.workers)
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
            assembly = Assembly(
                journal,
                project,
                who.install,
                _adapters(settings, opened, gemini, workers, room),
                policies,
                _rules(settings),
                conditions.troubled,
            )
            changed = asyncio.Event()
            journal.listeners.append(lambda _recorded: changed.set())
            group_name = settings.service.socket_group
            async with room.serving(Orders(assembly.control), paths.socket, group_name):
                log.info("daemon.ready", inbox=str(paths.inbox), socket=str(paths.socket))
                room.board.phase = "running"
                await _drive(assembly, room, changed, service, stop)
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


async def _drive(
    assembly: Assembly,
    room: StatusRoom,
    changed: asyncio.Event,
    service: systemd.Notifier,
    stop: Stop,
) -> None:
    """Run everything until it is to end; the background goes last."""
    async with asyncio.TaskGroup() as group:
        background = [
            group.create_task(room.feed.run(changed)),
            group.create_task(room.watch_lag()),
            group.create_task(_pulse(room, service)),
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


async def _pulse(room: StatusRoom, service: systemd.Notifier) -> None:
    """Feed the watchdog from the loop itself, and say in a line what goes on."""
    pace = systemd.watchdog_pace(os.environ, os.getpid())
    wait = min(pace or STATUS_EVERY, STATUS_EVERY).total_seconds()
    while True:
        service.watchdog()
        service.status(translation.status_line(room.board))
        await asyncio.sleep(wait)


def _adapters(
    settings: Settings, opened: _Opened, gemini: Gemini, workers: Workers, room: StatusRoom
) -> Adapters:
    parallel, paths, clock = settings.workers, settings.paths, opened.clock
    return Adapters(
        jobs=gemini.jobs,
        files=gemini.files,
        inbox=FolderInbox(
            paths.inbox,
            paths.work,
            workers,
            clock,
            profiles=frozenset(settings.profiles),
            settle=timedelta(seconds=settings.intake.settle_seconds),
        ),
        work=WorkFolder(
            paths.work,
            opened.who.install,
            workers,
            parallel=parallel,
            reserve_bytes=settings.service.min_free_bytes,
            line_bytes_max=ANSWER_LINE_BYTES_MAX,
        ),
        outbox=FolderOutbox(paths.outbox, paths.rejected, paths.work, workers, parallel=parallel),
        notifier=translation.notifier(settings, room),
        clock=clock,
        ids=Chance(),
    )


def _rules(settings: Settings) -> Rules:
    def chosen(profile: str, text: str | None) -> Choice:
        return choose(settings, profile, text)

    return Rules(
        choose=chosen,
        retention=translation.retention(settings),
        line_bytes_max=settings.intake.line_bytes_max,
        flaws_kept_max=settings.intake.flaws_kept_max,
        scan_every=timedelta(seconds=min(1.0, max(settings.intake.settle_seconds, 0.05))),
    )


def _heed_signals(stop: Stop) -> None:
    """End cleanly at the first SIGTERM or SIGINT, at once at the second; read again at SIGHUP."""
    loop = asyncio.get_running_loop()

    def heed(number: signal.Signals) -> None:
        log.info("daemon.stopping", signal=number.name)
        stop.ask(Ending.STOP)
        loop.remove_signal_handler(number)  # the second one is the system's own, and final

    def reload() -> None:
        log.info("daemon.stopping", signal="SIGHUP", reason="the settings are read again")
        stop.ask(Ending.RELOAD)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heed, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
