"""The schema: built by migrations, upgraded whole or not at all, refused when newer."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from orchestrator.domain.caps import is_day_lifted
from orchestrator.domain.request_sets import Received
from orchestrator.store import fsck, incidents, request_sets
from orchestrator.store.codecs import set_row
from orchestrator.store.database import Database, InlineDatabase
from orchestrator.store.errors import LedgerError, NewerSchema
from orchestrator.store.schema import metadata
from orchestrator.store.walls import WALLS
from tests.store.conftest import MIGRATIONS
from tests.store.values import NOW, collect_all, planned, set_info, start

REVISION = '''
"""A step."""
import os, signal
import sqlalchemy as sa
from alembic import op
revision = "9999"
down_revision = "0002"
branch_labels = depends_on = None

def upgrade():
    op.create_table("fresh", sa.Column("id", sa.Integer(), primary_key=True))
    op.execute("DELETE FROM incidents")
    {last}
'''
FINE = "pass"
FAILS = "raise ValueError('cannot go on')"
KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
BREAKS_A_REFERENCE = (
    "op.execute(\"INSERT INTO events SELECT 99, at, 'nobody', NULL, '', 'received', ''"
    ' FROM events LIMIT 1")'
)
REBUILDS = """with op.batch_alter_table("incidents") as table:
        table.add_column(sa.Column("seen", sa.Text()))"""


def newer(tmp_path: Path, last: str) -> Path:
    """Return migrations with one more step."""
    folder = tmp_path / "newer"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_a_step.py").write_text(REVISION.format(last=last))
    return folder


def schema(file: Path) -> dict[str, list[str]]:
    """Return the DDL text of everything in a file, definition by definition in any order."""
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {
            name: sorted(definitions(sql))
            for name, sql in rows
            if name not in {"alembic_version", "sqlite_sequence"}
        }


def definitions(sql: str) -> list[str]:
    """Split a CREATE statement at the commas of its outermost parentheses."""
    parts, depth = [""], 0
    for character in " ".join(sql.split()):
        depth += (character == "(") - (character == ")")
        if (character in "()" and depth == (character == "(")) or (character == "," and depth == 1):
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def used_ledger(url: str) -> None:
    """Leave a ledger of the first schema with something in it."""
    ledger = await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    await ledger.transact(start, set_info(), planned())
    await ledger.transact(collect_all, planned())
    await ledger.transact(incidents.book, NOW, "test", None, "kept", 1, 0)
    await ledger.close()


async def incidents_of(url: str, migrations: Path = MIGRATIONS) -> list[str]:
    """Open a ledger, check it, and return what it holds."""
    ledger = await InlineDatabase.open(url, migrations=migrations, now=NOW)
    assert await ledger.read(fsck.check) == []
    assert await ledger.read(request_sets.get, set_info().id) is not None
    details = [incident.detail for incident in await ledger.read(incidents.all)]
    await ledger.close()
    return details


@pytest.fixture
def file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    return tmp_path / "backups"


async def test_migrations_build_what_the_tables_say(url: str, file: Path, tmp_path: Path) -> None:
    """As DDL text, constraint by constraint: what no autogenerate compares is compared here."""
    await used_ledger(url)
    from_tables = tmp_path / "tables.db"
    engine = create_engine(f"sqlite:///{from_tables}")
    metadata.create_all(engine)
    engine.dispose()

    assert schema(file) == schema(from_tables)
    assert {wall.name for wall in WALLS} < schema(file).keys()


@pytest.mark.parametrize("lifted", [False, True])
async def test_what_was_lifted_before_stays_lifted(
    url: str, file: Path, tmp_path: Path, *, lifted: bool
) -> None:
    """A ledger of revision 0001 knows one flag for all caps: where it was set, all stay lifted."""
    first = tmp_path / "first"
    shutil.copytree(MIGRATIONS, first, ignore=shutil.ignore_patterns("__pycache__", "0002*"))
    await (await InlineDatabase.open(url, migrations=first, now=NOW)).close()
    row = {**set_row(Received(set_info())), "paused": 0, "cancel_asked": 0, "updated_at": 0}
    row |= {"cap_lifted": lifted, "received_at": 0}
    with closing(sqlite3.connect(file)) as connection, connection:
        names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
        connection.execute(f"INSERT INTO request_sets ({names}) VALUES ({places})", row)

    ledger = await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    stored = await ledger.read(request_sets.get, set_info().id)
    await ledger.close()

    assert stored is not None
    assert stored.flags.cap_lifted == stored.flags.price_waived == lifted
    for day in (NOW, NOW.replace(year=9999)):
        assert is_day_lifted(stored.flags, day) == lifted


async def test_opening_again_changes_nothing(url: str, file: Path, backups: Path) -> None:
    """An up-to-date ledger is not migrated, not backed up and not written."""
    await used_ledger(url)
    before = file.read_bytes()  # noqa: ASYNC240 - one small file

    ledger = await Database.open(url, migrations=MIGRATIONS, now=NOW, backups=backups)
    await ledger.close()

    assert file.read_bytes() == before  # noqa: ASYNC240 - one small file
    assert not backups.exists()  # noqa: ASYNC240 - one small folder


@pytest.mark.parametrize("kind", [Database, InlineDatabase])
async def test_an_upgrade_is_preceded_by_a_backup(kind, url: str, tmp_path, backups: Path) -> None:
    """The copy bears the old revision and the time, and opens with the old program."""
    await used_ledger(url)

    ledger = await kind.open(url, migrations=newer(tmp_path, FINE), now=NOW, backups=backups)

    assert await ledger.read(incidents.all) == []
    await ledger.close()
    (copy,) = files_in(backups)
    assert copy.name == "orchestrator-0002-20260301T120000Z.db"
    assert await incidents_of(f"sqlite:///{copy}") == ["kept"]


async def test_a_newer_ledger_is_refused(url: str, tmp_path: Path) -> None:
    """What a newer program wrote is not touched by an older one."""
    await used_ledger(url)
    ahead = newer(tmp_path, FINE)
    await (await InlineDatabase.open(url, migrations=ahead, now=NOW)).close()

    with pytest.raises(NewerSchema, match="schema 9999 was written by a newer orchestrator"):
        await Database.open(url, migrations=MIGRATIONS, now=NOW)

    assert await incidents_of(url, ahead) == []


@pytest.mark.parametrize("last", [FAILS, BREAKS_A_REFERENCE])
async def test_a_failing_upgrade_leaves_nothing(
    url: str, file: Path, tmp_path: Path, last: str
) -> None:
    """Schema and data are as before, and the old program opens them."""
    await used_ledger(url)
    before = schema(file)

    with pytest.raises((ValueError, LedgerError), match=r"cannot go on|breaks a reference"):
        await InlineDatabase.open(url, migrations=newer(tmp_path, last), now=NOW)

    assert schema(file) == before
    assert await incidents_of(url) == ["kept"]


async def test_a_failing_first_start_leaves_an_empty_file(
    url: str, file: Path, tmp_path: Path
) -> None:
    """All migrations of one start are one transaction."""
    with pytest.raises(ValueError, match="cannot go on"):
        await Database.open(url, migrations=newer(tmp_path, FAILS), now=NOW)

    assert schema(file) == {}


async def test_a_killed_upgrade_leaves_nothing(url: str, file: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of a migration is undone by the next start."""
    await used_ledger(url)
    before = schema(file)
    program = (
        "import asyncio, pathlib, sys\n"
        "from datetime import UTC, datetime\n"
        "from orchestrator.store.database import Database\n"
        "now = datetime(2026, 3, 1, tzinfo=UTC)\n"
        "folder = pathlib.Path(sys.argv[2])\n"
        "asyncio.run(Database.open(sys.argv[1], migrations=folder, now=now))\n"
    )

    killed = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [sys.executable, "-B", "-c", program, url, newer(tmp_path, KILLED)],
        cwd=MIGRATIONS.parent,
        check=False,
    )

    assert killed.returncode == -signal.SIGKILL
    assert await incidents_of(url) == ["kept"]
    assert schema(file) == before


async def test_a_table_can_be_built_anew(url: str, tmp_path: Path) -> None:
    """A migration may rebuild a table although foreign keys are on; they are on again after."""
    await used_ledger(url)

    ledger = await Database.open(url, migrations=newer(tmp_path, REBUILDS), now=NOW)

    keys = await ledger.read(lambda tx: tx.exec_driver_sql("PRAGMA foreign_keys").scalar())
    assert keys == 1
    await ledger.close()


async def test_somebody_elses_database_is_refused(url: str, file: Path) -> None:
    """Tables of another program are left alone."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE recipes (id INTEGER)")

    with pytest.raises(LedgerError, match="holds the tables of another program"):
        await Database.open(url, migrations=MIGRATIONS, now=NOW)

    assert schema(file).keys() == {"recipes"}


async def test_a_folder_with_a_percent_sign_is_found(url: str, tmp_path: Path) -> None:
    """The migrations may lie anywhere."""
    folder = tmp_path / "50 % of %(here)s"
    shutil.copytree(MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))

    ledger = await Database.open(url, migrations=folder, now=NOW)

    assert await ledger.read(incidents.all) == []
    await ledger.close()


async def test_a_thousand_batches_take_little_room(url: str, file: Path) -> None:
    """With their whole history they take about a megabyte, however many requests they hold."""
    ledger = await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    info = set_info(requests=10_000)
    many = [planned(serial, of=info) for serial in range(1, 1_001)]

    await ledger.transact(start, info, *many)
    await ledger.transact(collect_all, *many)

    await ledger.close()
    assert file.stat().st_size < 1_000_000  # noqa: ASYNC240 - one file
