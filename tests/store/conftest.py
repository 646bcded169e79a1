"""Real ledgers in real files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.store.database import Database, InlineDatabase
from tests.store.values import NOW

MIGRATIONS = Path(__file__).parents[2] / "migrations"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'orchestrator.db'}"


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[InlineDatabase]:
    """A new ledger without a thread."""
    opened = await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    yield opened
    await opened.close()


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A new ledger as the daemon uses it."""
    opened = await Database.open(url, migrations=MIGRATIONS, now=NOW)
    yield opened
    await opened.close()
