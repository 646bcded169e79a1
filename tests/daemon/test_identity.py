"""Which life this is, and whether its ledger can be trusted to know every create."""

import asyncio
import shutil
from pathlib import Path

import pytest

from orchestrator.daemon import identity
from orchestrator.daemon.identity import Cloned, ForeignLedger, Identity
from orchestrator.domain.evidence import Start
from orchestrator.domain.ids import InstallId
from orchestrator.store import lives
from orchestrator.store.database import InlineDatabase
from tests.simulation.clock import SimClock

MIGRATIONS = Path(__file__).parents[2] / "migrations"
INSTALL = InstallId("0123456789abcdef")


async def one_life(state: Path, boot: str = "boot", *, clean: bool = False) -> Identity:
    """Begin a life in this state directory and end it, cleanly or as a kill does."""
    clock = SimClock(asyncio.get_running_loop())
    url = f"sqlite:///{state / 'orchestrator.db'}"
    ledger = await InlineDatabase.open(url, migrations=MIGRATIONS, now=clock.now())
    try:
        who = await identity.begin(ledger, state, clock, boot, INSTALL)
        if clean:
            await ledger.transact(lives.end_life, clock.now(), who.epoch)
    finally:
        await ledger.close()
    return who


async def test_a_new_install_has_nothing_to_look_for(tmp_path: Path):
    """No job can bear a prefix that did not exist."""
    who = await one_life(tmp_path)

    assert (who.start, who.epoch, who.install) == (Start.FIRST, 1, INSTALL)


async def test_a_kill_loses_nothing_that_was_committed(tmp_path: Path):
    """Within one boot of the machine the page cache is whole, however the process died."""
    await one_life(tmp_path)

    assert (await one_life(tmp_path)).start is Start.INTACT


async def test_a_clean_stop_outlives_a_reboot(tmp_path: Path):
    """What ended cleanly was synced."""
    await one_life(tmp_path, clean=True)

    assert (await one_life(tmp_path, "another boot")).start is Start.INTACT


async def test_a_power_cut_makes_doubtful_until_the_window_was_watched(tmp_path: Path):
    """Lives that are too short to watch do not end the doubt; only a whole window does."""
    await one_life(tmp_path)

    assert (await one_life(tmp_path, "after the cut")).start is Start.DOUBTFUL
    assert (await one_life(tmp_path, "after the cut", clean=True)).start is Start.DOUBTFUL
    identity.end_doubt(tmp_path)
    assert (await one_life(tmp_path, "after the cut")).start is Start.INTACT


async def test_where_nothing_tells_boots_apart_a_kill_may_have_been_a_power_cut(tmp_path: Path):
    """Without a boot id the safe reading is taken."""
    await one_life(tmp_path, "")

    assert (await one_life(tmp_path, "")).start is Start.DOUBTFUL


async def test_a_restored_ledger_is_found_out(tmp_path: Path):
    """The newest life is numbered beside the ledger, and an older ledger does not have it."""
    await one_life(tmp_path, clean=True)
    shutil.copy(tmp_path / "orchestrator.db", tmp_path / "yesterday")
    await one_life(tmp_path, clean=True)
    shutil.copy(tmp_path / "yesterday", tmp_path / "orchestrator.db")

    restored = await one_life(tmp_path, clean=True)

    assert (restored.start, restored.epoch) == (Start.DOUBTFUL, 3)


async def test_a_lost_ledger_goes_on_under_the_same_identity(tmp_path: Path):
    """Tokens are derived from the install, so what was sent before is recognised."""
    await one_life(tmp_path, clean=True)
    (tmp_path / "orchestrator.db").unlink()

    anew = await one_life(tmp_path, clean=True)

    assert (anew.start, anew.install, anew.epoch) == (Start.DOUBTFUL, INSTALL, 2)


async def test_a_ledger_of_another_install_is_refused(tmp_path: Path):
    """Its tokens would not be found by ours."""
    await one_life(tmp_path)
    (tmp_path / "install-id").chmod(0o600)
    (tmp_path / "install-id").write_text("fedcba9876543210\n")

    with pytest.raises(ForeignLedger, match="put the ledger back"):
        await one_life(tmp_path)


def test_a_copied_state_directory_is_refused_on_another_machine(tmp_path: Path):
    """Two machines with one identity would give two jobs one token; the way out is said."""
    identity.check_machine(tmp_path, "machine a")
    identity.check_machine(tmp_path, "machine a")
    identity.check_machine(tmp_path, "")

    with pytest.raises(Cloned, match=r"remove .*machine and start again"):
        identity.check_machine(tmp_path, "machine b")


def test_a_garbled_machine_file_is_nobodys_word(tmp_path: Path):
    """What a broken disk made of it is refused with the same way out, and ends nothing as a bug."""
    (tmp_path / identity.MACHINE_FILE).write_bytes(b"\xff\xfe\x00")

    with pytest.raises(Cloned, match=r"remove .*machine and start again"):
        identity.check_machine(tmp_path, "machine a")
