"""A refused drop goes to `rejected/NAME/`: as it was, with its flaws, `summary.json` last.

Trouble: what lies on another file system than `work/` is copied if it is a file; else the error
of the rename is raised.
"""

import errno
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from orchestrator.domain.request_sets import SetInfo
from orchestrator.spool import atomic, names, publish, source
from orchestrator.spool.claim import DROPPED_FOLDER
from orchestrator.spool.freeze import copy_file
from orchestrator.spool.meta import Meta, load_meta

KEPT = (source.FLAWS, source.WARNINGS)
OURS = frozenset({publish.OWNER, publish.SUMMARY, *KEPT})
SET_OPTIONS = "set.toml"


def reject(
    root: Path, claimed: Path, info: SetInfo, reason: str, told: Mapping[str, object]
) -> None:
    """Move the input and copy its flaws, then conclude. Runs in a worker; repeatable."""
    folder = publish.born(root, info.outbox, info.id)
    if publish.concluded(folder) is not None:
        return
    files = {}
    for name in KEPT:
        if _is_kept(claimed / name):
            flaws = (claimed / name).read_bytes()
            atomic.write_file(folder / name, flaws, publish.FILE_MODE, sync_name=False)
            files[name] = asdict(publish.digest(folder / name))
    _give_back(claimed, folder, load_meta(claimed))
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


def _is_kept(file: Path) -> bool:
    """Tell whether a list goes with the drop: flaws as far as it was read, warnings if any."""
    return file.exists() and (file.name != source.WARNINGS or file.stat().st_size > 0)


def _give_back(claimed: Path, folder: Path, meta: Meta | None) -> None:
    """Move what was dropped, under the name that it had; all names in `folder` are durable then.

    Where a power cut brings names back in `claimed`, they are second ones of what was moved.
    """
    base = os.fsdecode(meta.path).rpartition("/")[2] if meta else source.INPUT
    name = source.INPUT if base in OURS else base
    dropped = claimed / DROPPED_FOLDER
    if meta is not None and os.path.lexists(dropped):
        if meta.inner is not None:
            _move(claimed / source.INPUT, dropped / os.fsdecode(bytes.fromhex(meta.inner)))
        _move(claimed / source.OPTIONS, dropped / SET_OPTIONS)
        atomic.fsync_dir(dropped)
        _move(dropped, folder / name)
    else:
        parsed = names.parse(os.fsencode(name))
        stem = os.fsdecode(parsed.stem) if parsed else name
        _move(claimed / source.INPUT, folder / name)
        _move(claimed / source.OPTIONS, folder / f"{stem}.toml")
    atomic.fsync_dir(folder)


def _move(path: Path, target: Path) -> None:
    """Rename, if it was not done already; a file may go to another file system."""
    if not os.path.lexists(path):
        return
    try:
        atomic.rename(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV or path.is_symlink() or not path.is_file():
            raise
        copy_file(path, target)
        atomic.unlink(path)
