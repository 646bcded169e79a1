"""Houses for the acceptance list: one for a module whose cases do not disturb each other."""

import pytest

from tests.acceptance.house import house


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a house with a running daemon, shared by the module; it leaves no secret behind."""
    with house(tmp_path_factory.mktemp("h")) as one:
        yield one


@pytest.fixture
def own(tmp_path):
    """Return a house with a running daemon for one test alone."""
    with house(tmp_path) as one:
        yield one
