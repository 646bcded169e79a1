"""Real ledgers in real files."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.store.database import Database, InlineDatabase
from tests.store.values import NOW

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'orchestrator.db'}"


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new ledger's file, built once: migrating takes longer than most tests."""
    file = tmp_path_factory.mktemp("migrated") / "orchestrator.db"

    async def build() -> None:
        await (
            await InlineDatabase.open(f"sqlite:///{file}", migrations=MIGRATIONS, now=NOW)
        ).close()

    asyncio.run(build())
    return file


@pytest.fixture
async def ledger(url: str, migrated: Path) -> AsyncIterator[InlineDatabase]:
    """A new ledger without a thread."""
    shutil.copy(migrated, url.removeprefix("sqlite:///"))
    opened = await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    yield opened
    await opened.close()


@pytest.fixture
async def database(url: str, migrated: Path) -> AsyncIterator[Database]:
    """A new ledger as the daemon uses it."""
    shutil.copy(migrated, url.removeprefix("sqlite:///"))
    opened = await Database.open(url, migrations=MIGRATIONS, now=NOW)
    yield opened
    await opened.close()
