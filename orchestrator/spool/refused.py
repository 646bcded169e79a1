"""What lies in `rejected/` and is whole: how old and how large it is, and its removal.

Only a folder that a refusal of ours has concluded counts, by the `summary.json` in it. What people
put there is theirs.
"""

from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISDIR, S_ISREG

import msgspec

from orchestrator.domain.ids import digest32
from orchestrator.ports import Refusal
from orchestrator.spool import atomic, publish
from orchestrator.spool.claim import REMOVING, disk_bytes


class _Told(msgspec.Struct):
    set: str
    state: str


def refusals(root: Path) -> list[Refusal]:
    """Return what was refused; clears away what an interrupted removal has left."""
    found: list[Refusal] = []
    for folder in sorted(root.iterdir()) if root.exists() else []:
        if folder.name.startswith(REMOVING):
            atomic.remove_tree(folder)
        elif (at := _refused_at(folder)) is not None:
            found.append(Refusal(folder.name, at, disk_bytes(folder)))
    return found


def forget(root: Path, refusal: Refusal) -> None:
    """Remove a folder, unless another refusal has taken its place."""
    gone = root / f"{REMOVING}{digest32('refused', refusal.name)}"  # its name may be too long
    if _refused_at(root / refusal.name) == refusal.at:
        atomic.rename(root / refusal.name, gone)
        atomic.fsync_dir(root)
        atomic.remove_tree(gone)


def _refused_at(folder: Path) -> datetime | None:
    """Return when a folder was concluded, None for what is not a whole refusal of ours."""
    summary = folder / publish.SUMMARY
    try:
        facts = summary.lstat()
        if not (S_ISDIR(folder.lstat().st_mode) and S_ISREG(facts.st_mode)):
            return None
        told = msgspec.json.decode(summary.read_bytes(), type=_Told)
    except (OSError, msgspec.DecodeError):
        return None
    if told.state != "rejected":
        return None
    return datetime.fromtimestamp(facts.st_mtime, UTC)
