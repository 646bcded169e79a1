"""One life of the simulated daemon: the real stages and adapters over a simulated world.

Everything is the product's own but four things: the loop with its clock and network, the ledger
without a thread (the same SQLite), an executor that works inline, and no status socket. Stages that
look every few seconds look every few minutes here, and more seldom still while nothing is
recorded, so that a day costs a second.
"""

import asyncio
import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from orchestrator.config.options import choose
from orchestrator.config.settings import Settings, load
from orchestrator.daemon import identity, translation
from orchestrator.daemon.assembly import Adapters, Assembly, Rules
from orchestrator.daemon.project import OneProject, Policies
from orchestrator.domain.ids import InstallId, ProjectName
from orchestrator.gemini.client import Gemini
from orchestrator.spool.inbox import FolderInbox
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder
from orchestrator.store import fsck, lives
from orchestrator.store.journal import Journal, Recorded
from tests.simulation.clock import SimClock, SimIds
from tests.simulation.effects import Effects
from tests.simulation.ledger import SimLedger, first_image, open_ledger, restore
from tests.simulation.witness import Witness

ADDRESS = "127.0.0.1:8080"
INSTALL = InstallId("5eed5eed5eed5eed")  # of the first life; who forgets it gets another
KEY = "a-key-of-the-simulation"
CONFIG = f"""
[gemini]
base_url = "http://{ADDRESS}"
[limits]
inline_max_bytes = 1200
requests_per_minute = 6000
[service]
min_free_bytes = 0
[submission]
create_timeout_seconds = 120
late_create_seconds = 900
list_lag_seconds = 1800
[polling]
interval_min_seconds = 120
interval_max_seconds = 900
[retry]
max_generations = 15
[retention]
work_days = 0.02
"""
LOOKS_SECONDS = {
    "intake": 600,
    "plan": 900,
    "upload": 300,
    "submit": 300,
    "reconcile": 600,
    "collect": 600,
    "deliver": 900,
    "recognise": 1800,
    "cancel": 3600,
    "tidy": 1800,
    "notify": 7200,
}
LOOKS_SECONDS_MAX = 2 * 3600
SCAN_SECONDS_MIN = 30.0


@dataclass(frozen=True)
class Surroundings:
    """What every life of one world shares."""

    state: Path
    clock: SimClock
    effects: Effects
    images: deque[bytes]
    hear: Callable[[Recorded], None]
    report: Callable[[str], None]
    settings: Settings
    met: Callable[[str], None] = lambda _row: None

    @property
    def ledger_file(self) -> Path:
        """Where the ledger is."""
        return self.state / "orchestrator.db"


class Life:
    """One run of the daemon. `boot` names the boot of the machine that it runs in."""

    def __init__(self, around: Surroundings, boot: str, number: int) -> None:
        self._around = around
        self._boot = boot
        self._number = number
        self.stop = asyncio.Event()
        self.ledger: SimLedger | None = None
        self.assembly: Assembly | None = None

    async def run(self) -> None:
        """Open everything, drive the stages until told to stop, close everything."""
        around = self._around
        if self._number == 1:
            restore(around.ledger_file, await first_image(around.clock.now()))
        inner = await open_ledger(around.ledger_file, around.clock.now())
        self.ledger = ledger = SimLedger(inner, around.effects, around.images)
        fresh = INSTALL if self._number == 1 else InstallId(f"{self._number:016x}")
        who = await identity.begin(ledger, around.state, around.clock, self._boot, fresh)
        for finding in await ledger.read(fsck.check):
            around.report(f"fsck at start of life {self._number}: {finding}")
        gemini = Gemini(
            translation.service(around.settings), lambda: KEY, who.install, around.clock
        )
        async with gemini:
            self.assembly = self._assemble(ledger, who, gemini)
            await self.assembly.run(self.stop)
        await ledger.transact(lives.end_life, around.clock.now(), who.epoch)
        await ledger.close()

    def _assemble(self, ledger: SimLedger, who: identity.Identity, gemini: Gemini) -> Assembly:
        around = self._around
        policies = translation.policies(around.settings)
        journal = Journal(ledger, around.clock, who.epoch, listeners=[around.hear])
        project = _project(around, journal, who, policies, gemini)
        assembly = Assembly(
            journal, project, who.install, self._adapters(who, gemini), policies, _rules(around)
        )
        for title, seconds in LOOKS_SECONDS.items():
            assembly.loops[title].idle = Patience(ledger, seconds)
        watch = assembly.loops["watch"]
        due = watch.idle
        watch.idle = lambda: max(due(), SCAN_SECONDS_MIN)
        return assembly

    def _adapters(self, who: identity.Identity, gemini: Gemini) -> Adapters:
        state, clock, workers = self._around.state, self._around.clock, Inline()
        return Adapters(
            jobs=Witness(gemini.jobs, self._around.met),
            files=gemini.files,
            inbox=FolderInbox(
                state / "inbox",
                state / "work",
                workers,
                clock,
                settle=timedelta(0),
                watch=False,
                interval=timedelta(hours=1),
            ),
            work=WorkFolder(state / "work", who.install, workers),
            outbox=FolderOutbox(state / "outbox", state / "rejected", state / "work", workers),
            notifier=Silent(),
            clock=clock,
            ids=SimIds(f"{self._number} {INSTALL}"),
        )


class Patience:
    """How long a stage may sleep: twice as long each time while nothing is recorded."""

    def __init__(self, ledger: SimLedger, least: float) -> None:
        self._ledger = ledger
        self._least = self._next = least
        self._seen = 0

    def __call__(self) -> float:
        """Return seconds."""
        seen = self._ledger.commits
        most = max(self._least, LOOKS_SECONDS_MAX)
        self._next = self._least if seen != self._seen else min(2 * self._next, most)
        self._seen = seen
        return self._next


class Silent:
    """A notifier that tells nobody."""

    async def send(self, number: int, kind: str, body: str) -> None:
        """Take it."""


@cache
def world_settings() -> Settings:
    """Load the settings that all worlds have."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(CONFIG)
        file.flush()
        return load(Path(file.name), {})


def _project(
    around: Surroundings,
    journal: Journal,
    who: identity.Identity,
    policies: Policies,
    gemini: Gemini,
) -> OneProject:
    return OneProject(
        ProjectName("default"),
        journal,
        around.clock,
        who.install,
        policies,
        who.start,
        lambda: gemini.jobs.account,
        lambda: None,
    )


def _rules(around: Surroundings) -> Rules:
    return Rules(
        choose=lambda profile, text: choose(around.settings, profile, text),
        retention=translation.retention(around.settings),
    )
