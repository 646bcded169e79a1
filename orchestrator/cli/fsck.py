"""`orchestrator fsck`: whether the ledger still says what it must."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from orchestrator.cli import failure, screen
from orchestrator.cli.options import config_option, examples, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.config.settings import Paths
    from orchestrator.store.database import Tx

T = TypeVar("T")


@click.command(
    short_help="Check the ledger's invariants (the daemon must be stopped).",
    epilog=examples("orchestrator fsck", "orchestrator fsck --json | jq .findings"),
)
@config_option()
@json_option()
def fsck(config: Path | None, *, as_json: bool) -> int:
    """Check the ledger's invariants. The daemon must be stopped: it holds the ledger.

    Nothing is changed: a copy is looked at. Exit code 0 means that every invariant holds, 65
    that one does not.
    """
    from orchestrator.config.settings import load

    broken = findings(load(config).paths)
    if as_json:
        screen.say_json({"findings": broken})
        return failure.DATA if broken else failure.OK
    for each in broken:
        screen.say(f"{each['invariant']} {each['where']}: {each['what']}; {each['remedy']}")
    if not broken:
        screen.say("the ledger is sound: every invariant holds")
    return failure.DATA if broken else failure.OK


def findings(paths: "Paths") -> list[dict[str, str]]:
    """Check a copy of the ledger; a Failure says why that cannot be."""
    from dataclasses import asdict

    from orchestrator.store.fsck import check

    return [asdict(finding) for finding in asked(paths, check)]


def asked(paths: "Paths", query: "Callable[[Tx], T]") -> "T":
    """Copy the ledger while nobody writes to it, and ask the copy; a Failure says why not."""
    import asyncio
    import tempfile

    from orchestrator.service.lock import Occupied, state_lock
    from orchestrator.store.errors import LedgerError

    if paths.ledger is None or not paths.ledger.exists():
        where = paths.ledger or "service.database"
        message = f"{where}: there is no ledger to check; see `orchestrator config`"
        raise failure.Failure(message, failure.NO_INPUT)
    with tempfile.TemporaryDirectory(prefix="orchestrator-fsck-") as scratch:
        now = datetime.now(UTC)  # noqa: TID251 - says since when we hold the lock
        try:
            with state_lock(paths.state_dir, now):
                copy = _copy(paths.ledger, Path(scratch))
            return asyncio.run(_ask(copy, now, query))
        except Occupied as error:
            raise failure.Failure(str(error), failure.TRY_AGAIN) from None
        except LedgerError as error:
            message = str(error).replace(scratch, str(paths.ledger.parent))
            raise failure.Failure(message, failure.DATA) from None
        except OSError as error:
            where = error.filename or paths.ledger
            message = f"{where}: {error.strerror}; ask as the daemon's user (sudo -u)"
            raise failure.Failure(message, failure.NO_PERMISSION) from None


def _copy(ledger: Path, scratch: Path) -> Path:
    """Copy the file with what was committed beside it."""
    import shutil

    for suffix in ("", "-wal"):
        beside = ledger.with_name(ledger.name + suffix)
        if beside.exists():
            shutil.copy2(beside, scratch / beside.name)
    return scratch / ledger.name


async def _ask(ledger: Path, now: datetime, query: "Callable[[Tx], T]") -> "T":
    from orchestrator.daemon.surroundings import migrations
    from orchestrator.store.database import Database

    url = f"sqlite+aiosqlite:///{ledger}"
    database = await Database.open(url, migrations=migrations(), now=now)
    try:
        return await database.read(query)
    finally:
        await database.close()
