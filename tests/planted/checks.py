"""Harnesses that are no world: what is asked of one part alone, and noticed there."""

import asyncio
import io
import tempfile
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from orchestrator.daemon.surroundings import migrations
from orchestrator.domain import batches as machine
from orchestrator.domain.ids import FileName, SetId
from orchestrator.gemini.service import Service
from orchestrator.log import lines
from orchestrator.ports import OutboxTaken
from orchestrator.service.lock import LockedOut, state_lock
from orchestrator.spool import publish
from orchestrator.store import lives
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.errors import LostLedger, StaleTransition
from orchestrator.store.transitions import apply
from tests.simulation.weather import fair
from tests.simulation.world import live_through
from tests.store.values import NOW, planned, set_info, start

KEY = "canary-key-4Xq9vT7w"
LATER = NOW + timedelta(hours=1)


def _with_a_ledger(work: Any) -> list[str]:
    async def run() -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder) / 'orchestrator.db'}"
            ledger = await InlineDatabase.open(url, migrations=migrations(), now=NOW)
            try:
                return await ledger.transact(work)
            finally:
                await ledger.close()

    made: Coroutine[Any, Any, list[str]] = run()
    return asyncio.run(made)


def settings() -> list[str]:
    """Ask SQLite itself whether a commit waits for the disk."""

    def ask(tx: Tx) -> list[str]:
        level = tx.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return [] if level == 2 else [f"synchronous is {level}: a power cut takes commits"]

    return _with_a_ledger(ask)


def late_decision() -> list[str]:
    """Decide twice upon one value: the second decision is late and must not go through."""

    def decide(tx: Tx) -> list[str]:
        batch = planned()
        start(tx, set_info(), batch)
        apply(tx, LATER, machine.renew(batch, 2, LATER, "the first decision"))
        try:
            apply(tx, LATER, machine.stow(batch, FileName("files/old"), LATER))
        except StaleTransition:
            return []
        return ["a decision upon an older value went through"]

    return _with_a_ledger(decide)


def two_lives() -> list[str]:
    """Let a life end in the name of an older one; it has lost the ledger to the newer."""

    def end(tx: Tx) -> list[str]:
        older = lives.begin_life(tx, NOW, "boot")
        lives.begin_life(tx, NOW, "boot")
        try:
            lives.end_life(tx, LATER, older.epoch)
        except LostLedger:
            return []
        return ["a life that is over still writes"]

    return _with_a_ledger(end)


def two_daemons() -> list[str]:
    """Open one state directory twice; the second daemon must be turned away."""
    with tempfile.TemporaryDirectory() as folder, state_lock(Path(folder), NOW):
        try:
            with state_lock(Path(folder), NOW):
                return ["two daemons work in one state directory"]
        except LockedOut:
            return []


def outbox() -> list[str]:
    """Publish two sets under one name; the second must go elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        publish.born(Path(folder), "name", SetId("first"))
        try:
            publish.born(Path(folder), "name", SetId("second"))
        except OutboxTaken:
            return []
        return ["results of another set were taken over"]


def addresses() -> list[str]:
    """Let the service send an upload to another host; nobody asked for that."""
    elsewhere = Service().sent_to("https://elsewhere.invalid/upload?upload_id=1")
    return [] if elsewhere is None else [f"requests are sent to {elsewhere.host}"]


def log_lines() -> list[str]:
    """Log the key by itself, in a URL and in a field; it must not be read anywhere."""
    out = io.StringIO()
    lines.configure("json", "info", lambda: [KEY], out)
    log = structlog.get_logger()
    log.error("failed", why=str(ValueError(f"https://example.invalid/?key={KEY}")))
    log.info(KEY, headers={"x-goog-api-key": KEY})
    structlog.reset_defaults()
    return [f"the key is in: {line}" for line in out.getvalue().splitlines() if KEY in line]


def tokens() -> list[str]:
    """Plan the same drops in two worlds; a plan that is made again bears the same tokens."""
    first, second = live_through(fair()), live_through(fair())
    return [] if first.trace == second.trace else ["the same plan has other tokens"]


CHECKS = {
    "settings": settings,
    "late decision": late_decision,
    "two lives": two_lives,
    "two daemons": two_daemons,
    "outbox": outbox,
    "addresses": addresses,
    "log": log_lines,
    "tokens": tokens,
}
