"""What is real is opened here: the ledger for one life, and the adapters over folders and HTTP."""

import secrets
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.config.options import choose
from orchestrator.config.settings import Paths, Settings
from orchestrator.daemon import identity, surroundings, translation
from orchestrator.daemon.assembly import Adapters, Rules
from orchestrator.daemon.clocks import Chance, WallClock
from orchestrator.daemon.identity import Identity
from orchestrator.domain.ids import InstallId
from orchestrator.domain.options import Choice
from orchestrator.gemini.client import Gemini
from orchestrator.service import host, lock
from orchestrator.spool.inbox import FolderInbox
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.work import WorkFolder
from orchestrator.status.assembly import StatusRoom
from orchestrator.store import ballast, fsck
from orchestrator.store.database import Database
from orchestrator.store.errors import CorruptLedger

ANSWER_LINE_BYTES_MAX = 256 * 1024 * 1024
BALLAST = "ballast"
FINDINGS_SHOWN = 3
SCAN_SECONDS, SCAN_SECONDS_MIN = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class Opened:
    """What was opened for one life."""

    database: Database
    who: Identity
    clock: WallClock


@asynccontextmanager
async def opened_for(paths: Paths, clock: WallClock) -> AsyncIterator[Opened]:
    """Open the ledger and begin a life; raises LedgerError or Occupied."""
    database = await Database.open(
        paths.database_url,
        migrations=surroundings.migrations(),
        now=clock.now(),
        backups=paths.backups,
        ballast=paths.state_dir / BALLAST,
    )
    try:
        ballast.lay(paths.state_dir / BALLAST)  # without room for it the space condition is shown
        fresh = InstallId(secrets.token_hex(8))
        who = await identity.begin(database, paths.state_dir, clock, host.boot_id(), fresh)
        lock.own_inbox(paths.inbox, who.install, paths.state_dir)
        findings = await database.read(fsck.check)
        if findings:
            said = "; ".join(
                f"{one.invariant} {one.where}: {one.what}" for one in findings[:FINDINGS_SHOWN]
            )
            raise CorruptLedger(
                f"{paths.ledger}: {len(findings)} invariants are broken ({said}); "
                "run `orchestrator fsck` for all of them and what to do"
            )
        yield Opened(database, who, clock)
    finally:
        await database.close()


def adapters(
    settings: Settings, opened: Opened, gemini: Gemini, workers: Executor, room: StatusRoom
) -> Adapters:
    """Open what the stages act upon."""
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
        notifier=translation.notifier(settings, room, clock),
        clock=clock,
        ids=Chance(),
    )


def rules(settings: Settings) -> Rules:
    """Build what the settings say beside the policies."""

    def chosen(profile: str, text: str | None) -> Choice:
        return choose(settings, profile, text)

    return Rules(
        choose=chosen,
        retention=translation.retention(settings),
        line_bytes_max=settings.intake.line_bytes_max,
        flaws_kept_max=settings.intake.flaws_kept_max,
        scan_every=_scan_every(settings.intake.settle_seconds),
    )


def _scan_every(settle_seconds: float) -> timedelta:
    """Return how often the inbox is looked at when nothing there has moved: it rings by itself."""
    is_short = 0 < settle_seconds < SCAN_SECONDS
    return timedelta(seconds=max(settle_seconds, SCAN_SECONDS_MIN) if is_short else SCAN_SECONDS)
