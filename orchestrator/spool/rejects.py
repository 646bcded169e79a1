"""A refused drop goes to `rejected/NAME/`: as it was, with its flaws, `summary.json` last."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from orchestrator.domain.request_sets import SetInfo
from orchestrator.spool import atomic, publish, source

KEPT = (source.FLAWS, source.WARNINGS)


def reject(
    root: Path, claimed: Path, info: SetInfo, reason: str, told: Mapping[str, object]
) -> None:
    """Move the input and copy its flaws, then conclude. Runs in a worker; repeatable."""
    folder = publish.born(root, info.outbox, info.id)
    if publish.concluded(folder) is not None:
        return
    files = {}
    for name in KEPT:
        if (claimed / name).exists():
            atomic.write_file(folder / name, (claimed / name).read_bytes(), publish.FILE_MODE)
            files[name] = asdict(publish.digest(folder / name))
    for name in (source.INPUT, source.OPTIONS):
        if (claimed / name).is_symlink() or (claimed / name).exists():
            atomic.rename(claimed / name, folder / name)
    atomic.fsync_dir(folder)
    atomic.fsync_dir(claimed)
    publish.conclude(
        folder,
        {
            "set": info.id,
            "name": info.name,
            "state": "rejected",
            "reason": reason,
            "requests": info.requests,
            "flawed": info.flawed,
            **told,
            "files": files,
        },
    )
