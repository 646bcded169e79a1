"""Whose ledger it is and which life uses it."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from orchestrator.domain.ids import InstallId
from orchestrator.store import lives
from orchestrator.store.database import InlineDatabase
from orchestrator.store.errors import LostLedger
from orchestrator.store.lives import LIVES_KEPT, Life
from orchestrator.store.tables import lives as table
from tests.store.values import INSTALL, NOW


async def test_an_install_is_named_once(ledger: InlineDatabase) -> None:
    """A ledger belongs to one install for ever."""
    assert await ledger.read(lives.install) is None

    await ledger.transact(lives.set_install, INSTALL)

    assert await ledger.read(lives.install) == INSTALL
    with pytest.raises(IntegrityError):
        await ledger.transact(lives.set_install, InstallId("another"))


async def test_a_life_knows_how_the_one_before_it_ended(ledger: InlineDatabase) -> None:
    """The first has none before it; a clean end leaves its mark; a crash leaves none."""
    first = await ledger.transact(lives.begin_life, NOW, "boot")
    await ledger.transact(lives.end_life, NOW, first.epoch)
    second = await ledger.transact(lives.begin_life, NOW, "boot")
    third = await ledger.transact(lives.begin_life, NOW, "boot")

    assert first == Life(1, clean=False, first=True)
    assert second == Life(2, clean=True, first=False)
    assert third == Life(3, clean=False, first=False)


async def test_an_earlier_life_has_lost_the_ledger(ledger: InlineDatabase) -> None:
    """Once another life began, the earlier one may neither send nor end as if it were the last."""
    old = await ledger.transact(lives.begin_life, NOW, "boot")
    new = await ledger.transact(lives.begin_life, NOW, "boot")

    await ledger.read(lives.check_epoch, new.epoch)
    with pytest.raises(LostLedger, match="used by life 2, this is life 1; stop this daemon"):
        await ledger.read(lives.check_epoch, old.epoch)
    with pytest.raises(LostLedger):
        await ledger.transact(lives.end_life, NOW, old.epoch)


async def test_a_restored_ledger_counts_on_from_the_newest_life(ledger: InlineDatabase) -> None:
    """Epochs known from elsewhere are never given again, and the boot is remembered."""
    assert await ledger.read(lives.newest) is None

    life = await ledger.transact(lives.begin_life, NOW, "boot 7", 40)

    assert life.epoch == 40
    assert (await ledger.transact(lives.begin_life, NOW, "boot 8", 3)).epoch == 41
    newest = await ledger.read(lives.newest)
    assert newest is not None
    assert newest.boot_id == "boot 8"


async def test_a_restart_storm_does_not_fill_the_ledger(ledger: InlineDatabase) -> None:
    """Only the newest lives are kept, and epochs go on counting."""

    def storm(tx):
        return [lives.begin_life(tx, NOW, "boot") for _ in range(LIVES_KEPT + 5)]

    lived = await ledger.transact(storm)

    assert lived[-1].epoch == LIVES_KEPT + 5
    assert await ledger.read(lambda tx: tx.scalar(select(func.count()).select_from(table))) == 1_000
