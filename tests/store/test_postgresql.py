"""The same schema and statements on PostgreSQL, where several daemons will share one ledger.

No driver for it is installed: what SQLAlchemy compiles is handed to psql as text.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_mock_engine, insert
from sqlalchemy.dialects import postgresql

from orchestrator.domain.batches import confirm, intend
from orchestrator.domain.ids import JobName
from orchestrator.domain.request_sets import Flags, Received
from orchestrator.store.codecs import batch_row, flags_row, set_row
from orchestrator.store.columns import EPOCH, MICROSECOND
from orchestrator.store.schema import metadata
from orchestrator.store.tables import batches, events, request_sets, retired_sets
from orchestrator.store.transitions import _MOVE_BATCH, was
from orchestrator.store.walls import WALLS
from tests.store.conftest import MIGRATIONS
from tests.store.values import ACCOUNT, NOW, planned, set_info

pytestmark = pytest.mark.slow

Psql = Callable[..., subprocess.CompletedProcess[str]]
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
DIALECT = postgresql.dialect(paramstyle="named")


@pytest.fixture(scope="module")
def psql() -> Iterator[Psql]:
    """A server of its own on a Unix socket; the function runs SQL in one of its databases."""
    missing = [tool for tool in ("initdb", "pg_ctl", "psql", "pg_dump") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"PostgreSQL is not installed here: no {', '.join(missing)}")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    as_user = NOBODY if os.geteuid() == 0 else []  # it refuses to run as root
    if as_user:
        shutil.chown(folder, "nobody", "nogroup")
    data = str(folder / "data")
    run(*as_user, "initdb", "-D", data, "-U", "test", "-A", "trust", "-N", "-E", "UTF8")
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    run(*as_user, "pg_ctl", "-D", data, "-w", "-o", options, "-l", f"{folder}/log", "start")

    def ask(sql: str, database: str = "postgres", tool: str = "psql") -> Any:
        to_psql = ["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1"] if tool == "psql" else []
        command = [tool, "-h", str(folder), "-U", "test", *to_psql, database]
        flags = ["--schema-only", "--no-owner"] if tool == "pg_dump" else []
        return subprocess.run(
            command + flags, input=sql, capture_output=True, text=True, check=False
        )

    yield ask
    run(*as_user, "pg_ctl", "-D", data, "-m", "immediate", "stop")
    shutil.rmtree(folder)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, cwd="/")


def schema_of_the_tables() -> str:
    assert WALLS, "without that module the tables have no triggers"
    statements: list[str] = []
    engine = create_mock_engine(
        "postgresql://", lambda ddl, *_, **__: statements.append(str(ddl.compile(dialect=DIALECT)))
    )
    metadata.create_all(engine, checkfirst=False)
    return ";\n".join(statements)


def schema_of_the_migrations() -> str:
    text = StringIO()
    options = {"as_sql": True, "output_buffer": text}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    for file in sorted((MIGRATIONS / "versions").glob("*.py")):
        spec = spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        with Operations.context(context):
            module.upgrade()
    return text.getvalue()


def literal(value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case datetime():
            return str((value - EPOCH) // MICROSECOND)
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def rendered(statement: Any, parameters: dict[str, Any] | None = None) -> str:
    """Return a statement as text with its values filled in."""
    compiled = statement.compile(dialect=DIALECT)
    values = {**compiled.params, **(parameters or {})}
    filled = re.sub(r"(?<!:):(\w+)", lambda found: literal(values[found[1]]), str(compiled))
    return f"{filled};\n"


def ledger(psql: Psql, name: str) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Return a function that runs SQL on a fresh ledger with one running set and a batch."""
    assert psql(f"CREATE DATABASE {name}").returncode == 0
    info = set_info()
    row = {**set_row(Received(info)), **flags_row(Flags()), "updated_at": NOW}
    built = psql(
        schema_of_the_tables()
        + ";\n"
        + rendered(insert(request_sets).values(row))
        + rendered(insert(batches).values(batch_row(planned()))),
        name,
    )
    assert built.returncode == 0, built.stderr
    return lambda sql: psql(sql, name)


def without_order(dump: str) -> list[str]:
    return sorted(
        line.rstrip(",") for line in dump.splitlines() if not line.startswith(("--", "\\"))
    )


def test_migrations_build_what_the_tables_say_there_too(psql: Psql) -> None:
    """Both texts give one schema, compared as PostgreSQL itself shows it."""
    for name, text in (("a", schema_of_the_tables()), ("b", schema_of_the_migrations())):
        assert psql(f"CREATE DATABASE {name}").returncode == 0
        built = psql(text, name)
        assert built.returncode == 0, built.stderr

    first, second = (psql("", name, "pg_dump").stdout for name in ("a", "b"))

    assert without_order(first) == without_order(second)
    assert "batches_no_overlap EXCLUDE USING gist" in " ".join(first.split())


def test_a_move_is_guarded_there_too(psql: Psql) -> None:
    """The statement of a move changes its row once; repeated it finds nothing."""
    tx = ledger(psql, "moves")
    move = intend(planned(), NOW, ACCOUNT, 1)
    sql = rendered(_MOVE_BATCH, {**was(batch_row(move.before)), **batch_row(move.after)})

    first, second = tx(sql), tx(sql)

    assert first.stdout.splitlines() == [f"{set_info().id}|1"]
    assert (second.returncode, second.stdout) == (0, "")


def test_the_walls_stand_there_too(psql: Psql) -> None:
    """Overlaps, illegal moves, rewritten parts and histories, and lost names are refused."""
    tx = ledger(psql, "walls")
    jump = confirm(intend(planned(), NOW, ACCOUNT, 1).after, JobName("batches/1"), NOW, "")
    step = {"at": NOW, "set_id": set_info().id, "source": "received", "target": "indexed"}
    assert tx(rendered(insert(events).values(**step, why=""))).returncode == 0
    illegal = {**step, "target": "running", "why": ""}
    names = {column.name: set_row(Received(set_info()))[column.name] for column in retired_sets.c}

    refused = {
        "batches_no_overlap": insert(batches).values(batch_row(planned(2, lo=5, hi=15))),
        "no edge of the machine": batches.update().values(batch_row(jump.after)),
        "a part never changes": batches.update().values(wire_bytes=1),
        "its token may still surface": batches.delete(),
        "ck_events_set_edge": insert(events).values(illegal),
        "history is not rewritten": events.update().values(why="otherwise"),
        "history is not forgotten": events.delete(),
        "the set is not finished": insert(retired_sets).values(names),
        "ck_batches_unsent": batches.update().values(upload=None),
        "one_outbox": insert(request_sets).values(
            {
                **set_row(Received(set_info("other", outbox="letters"))),
                **flags_row(Flags()),
                "updated_at": NOW,
            }
        ),
    }

    for words, statement in refused.items():
        answer = tx(rendered(statement))
        assert answer.returncode != 0, words
        assert words in answer.stderr
