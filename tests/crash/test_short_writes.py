"""The real daemon on a file system that takes half of every write: it goes on with the rest."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.crash import tally
from tests.crash.real import real_world

SOURCE = Path(__file__).with_name("short_writes.c")


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """The library that is preloaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) here: short writes are not tried")
    library = tmp_path / "short_writes.so"
    subprocess.run(
        [compiler, "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE], check=True
    )
    return library


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_writes_that_come_short_cost_nothing(tmp_path: Path, halves: Path) -> None:
    """With each write to its folders and its ledger cut in half, all is delivered whole."""
    told = tmp_path / "told"
    with real_world(tmp_path / "world") as world:
        world.preload = {
            "LD_PRELOAD": str(halves),
            "SHORT_BELOW": str(world.state),
            "SHORT_TOLD": str(told),
        }
        life = world.live()
        findings = world.judge() if world.is_done else [f"not done: exit {life.code}: {life.log}"]
    tally.note("every write in halves (lives)", 1, findings)

    assert told.exists()
    assert findings == []
