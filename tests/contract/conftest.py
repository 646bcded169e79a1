"""Each test of a contract runs against each service that we may meet."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.providers import SERVICES, Provider, provider


@pytest.fixture(params=list(SERVICES))
async def there(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    """A provider with a clock that stands still."""
    async with provider(tmp_path / "state", SERVICES[request.param]) as running:
        yield running
