"""Whose ledger this is, and which life of the daemon uses it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from orchestrator.domain.ids import InstallId
from orchestrator.store.errors import LostLedger
from orchestrator.store.question import Question
from orchestrator.store.tables import installs, lives

LIVES_KEPT = 1000
_NEWEST_EPOCH = Question(select(func.max(lives.c.epoch)))


@dataclass(frozen=True, slots=True)
class Life:
    """One run of the daemon. `clean`: the one before it ended as it should; `first`: none was."""

    epoch: int
    clean: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest life on record, and during which boot of the machine it began."""

    epoch: int
    boot_id: str


def install(tx: Connection) -> InstallId | None:
    """Return the install that this ledger belongs to, None for a new ledger."""
    name = tx.scalar(select(installs.c.id))
    return None if name is None else InstallId(name)


def set_install(tx: Connection, install_id: InstallId) -> None:
    """Say once whose ledger this is."""
    tx.execute(installs.insert().values(place=1, id=install_id))


def newest(tx: Connection) -> Newest | None:
    """Return the newest life that this ledger knows, None if it knows of none."""
    row = tx.execute(
        select(lives.c.epoch, lives.c.boot_id).order_by(lives.c.epoch.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Newest(*row)


def begin_life(tx: Connection, now: datetime, boot_id: str, at_least: int = 1) -> Life:
    """Begin a life under the next epoch; every earlier one has lost the ledger from now on.

    The epoch is `at_least` that high: a ledger that was restored knows only of older lives.
    """
    before = tx.execute(select(lives).order_by(lives.c.epoch.desc()).limit(1)).one_or_none()
    epoch = max(at_least, 1 if before is None else before.epoch + 1)
    tx.execute(lives.insert().values(epoch=epoch, boot_id=boot_id, started_at=now))
    tx.execute(lives.delete().where(lives.c.epoch <= epoch - LIVES_KEPT))
    return Life(epoch, before is not None and before.ended_at is not None, before is None)


def end_life(tx: Connection, now: datetime, epoch: int) -> None:
    """Leave the mark that this life ended cleanly. Raises LostLedger."""
    check_epoch(tx, epoch)
    tx.execute(lives.update().where(lives.c.epoch == epoch).values(ended_at=now))


def check_epoch(tx: Connection, epoch: int) -> None:
    """Raise LostLedger when another life has begun since this one did."""
    newest = _NEWEST_EPOCH.scalars(tx)[0]
    if newest != epoch:
        raise LostLedger(
            f"the ledger is used by life {newest}, this is life {epoch}; stop this daemon,"
            " only one may run on a state directory"
        )
