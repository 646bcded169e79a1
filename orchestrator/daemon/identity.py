"""Which install this is, which life of it, and how far its ledger can be trusted.

The install's identity and the number of its newest life lie both in the ledger and in files beside
it. Where they disagree the ledger was restored, rolled back or made anew: then nothing may be
created before the job list was watched for the whole window.
"""

from dataclasses import dataclass
from pathlib import Path

from orchestrator.domain.evidence import Start
from orchestrator.domain.ids import InstallId, digest32
from orchestrator.ports import Clock
from orchestrator.service.lock import Occupied
from orchestrator.spool import atomic
from orchestrator.store import lives
from orchestrator.store.database import Ledger, Tx

INSTALL_FILE = "install-id"
EPOCH_FILE = "epoch"
MACHINE_FILE = "machine"
DOUBT_FILE = "doubt"
PRIVATE = 0o400


class Cloned(Occupied):
    """The state directory was copied from another machine."""


class ForeignLedger(Occupied):
    """The ledger belongs to another install than the state directory."""


@dataclass(frozen=True, slots=True)
class Identity:
    """This install and this life of it."""

    install: InstallId
    epoch: int
    start: Start
    clean: bool


def check_machine(state_dir: Path, machine: str) -> None:
    """Bind the state directory to this machine, or find that it is bound. Raises Cloned.

    Two machines with one identity would give two jobs one token. `machine` may be "" where
    nothing tells machines apart.
    """
    file, mine = state_dir / MACHINE_FILE, digest32(machine) if machine else ""
    if not mine:
        return
    if not file.exists():
        atomic.write_file(file, mine.encode() + b"\n", PRIVATE)
        return
    if file.read_bytes().strip() != mine.encode():
        raise Cloned(
            f"{state_dir}: belongs to another machine; if the daemon there is stopped for good "
            f"(both would pay for the same requests), remove {file} and start again"
        )


async def begin(
    ledger: Ledger, state_dir: Path, clock: Clock, boot_id: str, fresh: InstallId
) -> Identity:
    """Begin a life; `fresh` is the identity that a new install gets. Raises ForeignLedger."""
    file = state_dir / INSTALL_FILE
    written = _read(file)
    known = await ledger.read(lives.install)
    if written and known and written != known:
        raise ForeignLedger(
            f"{state_dir}: the ledger is of the install {known}, {file} of {written}; "
            "put the ledger back that belongs here"
        )
    install = InstallId(known or written or fresh)
    if not written:  # its name is durable with the epoch's, before anything bears it
        atomic.write_file(file, install.encode() + b"\n", PRIVATE, sync_name=False)
    promised = int(_read(state_dir / EPOCH_FILE) or 0)
    before = await ledger.read(lives.newest)
    life = await ledger.transact(_begin, clock, boot_id, promised, None if known else install)
    rolled_back = bool(written) and (not known or before is None or before.epoch != promised)
    same_boot = before is not None and boot_id == before.boot_id != ""
    rebooted = not life.clean and not same_boot
    start = Start.INTACT
    if not written and not known:
        start = Start.FIRST
    elif rolled_back or rebooted or _is_doubted(state_dir):
        start = Start.DOUBTFUL
        atomic.write_file(state_dir / DOUBT_FILE, b"%d\n" % life.epoch, PRIVATE)
    # Last: a life that dies before this is found to be newer than promised, and so doubted.
    atomic.write_file(state_dir / EPOCH_FILE, b"%d\n" % life.epoch)
    return Identity(install, life.epoch, start, life.clean)


def end_doubt(state_dir: Path) -> None:
    """Note that the job list was watched for the whole window: the ledger can be trusted again.

    Until then every start is a doubtful one, however short the lives between are.
    """
    atomic.unlink(state_dir / DOUBT_FILE, missing_ok=True)
    atomic.fsync_dir(state_dir)


def trust(state_dir: Path) -> Start:
    """Tell how far the ledger of a life can be trusted that has begun before."""
    return Start.DOUBTFUL if _is_doubted(state_dir) else Start.INTACT


def _is_doubted(state_dir: Path) -> bool:
    return (state_dir / DOUBT_FILE).exists()


def _begin(
    tx: Tx, clock: Clock, boot_id: str, promised: int, install: InstallId | None
) -> lives.Life:
    if install is not None:
        lives.set_install(tx, install)
    return lives.begin_life(tx, clock.now(), boot_id, at_least=promised + 1)


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except FileNotFoundError:
        return ""
