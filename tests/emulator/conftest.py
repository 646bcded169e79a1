"""One emulator for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.emulator.world import World, world


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[World]:
    """An emulator with a clock that stands still."""
    async with world(tmp_path / "state") as running:
        yield running
