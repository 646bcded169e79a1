"""The schema, brought up to date when the ledger is opened, in one transaction or not at all.

Alembic is imported only for a ledger that is not up to date: it would stay in memory for weeks.
"""

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from orchestrator.store.errors import LedgerError, NewerSchema
from orchestrator.store.sqlite import damaged, fsync, outside, set_pragma

_NAMED = re.compile(r"^(revision|down_revision)\b[^=\n]*= *[\"']([^\"']+)", re.MULTILINE)


def bring_up(
    connection: Connection, file: Path, migrations: Path, now: datetime, backups: Path | None
) -> None:
    """Check the file, refuse a newer schema, and upgrade an older one after a backup."""
    verdict = outside(connection, "PRAGMA quick_check(1)")[0][0]
    if verdict != "ok":
        raise damaged(file, verdict)
    present, (known, heads) = revision(connection, file), revisions(migrations)
    if present in heads:
        return
    if present is not None:
        if present not in known:
            raise NewerSchema(
                f"{file}: its schema {present} was written by a newer orchestrator; install that"
                " version again, or restore the backup made before its upgrade"
            )
        if backups is not None:
            stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
            copy_ledger(connection, backups / f"{file.stem}-{present}-{stamp}.db")
    upgrade(connection, migrations)


def revision(connection: Connection, file: Path) -> str | None:
    """Return which revision built the file, None for an empty one."""
    with connection.begin():
        tables = inspect(connection).get_table_names()
        found = (
            connection.scalar(text("SELECT version_num FROM alembic_version"))
            if "alembic_version" in tables
            else None
        )
    if found is None and tables:
        raise LedgerError(f"{file}: holds the tables of another program; name another file")
    return found


def revisions(migrations: Path) -> tuple[set[str], set[str]]:
    """Return all revisions that lie there, and those of them that no other builds upon."""
    named = [
        _NAMED.findall(file.read_text("utf-8"))
        for file in sorted((migrations / "versions").glob("*.py"))
    ]
    known = {name for found in named for what, name in found if what == "revision"}
    below = {name for found in named for what, name in found if what == "down_revision"}
    return known, known - below


def upgrade(connection: Connection, migrations: Path) -> None:
    """Run every missing migration in one transaction; a failing one leaves nothing.

    Foreign keys are off meanwhile, because a table is altered by building it anew, and are
    checked before the commit.
    """
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection
    _set(connection, "foreign_keys", 0)
    try:
        with connection.begin():
            command.upgrade(config, "head")
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise LedgerError(f"the upgrade breaks a reference: {tuple(broken)}; report it")
    finally:
        _set(connection, "foreign_keys", 1)


def copy_ledger(connection: Connection, into: Path) -> None:
    """Write a whole, durable copy of the ledger; a name that is taken is an error."""
    if into.exists():
        raise LedgerError(f"{into}: is there already; name another file for the backup")
    into.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = into.with_name(f".{into.name}.tmp")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    outside(connection, "VACUUM INTO ?", str(partial))
    fsync(partial)
    partial.rename(into)
    fsync(into.parent)


def _set(connection: Connection, name: str, wanted: int) -> None:
    cursor = connection.connection.cursor()
    set_pragma(cursor, name, wanted)
    cursor.close()
