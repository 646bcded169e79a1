"""A drop becomes ours: moved to `work/<folder>`, durable, and written by nobody any more.

    1  meta.json says what is about to be taken; it and its folder are durable
    2  the drop is renamed into the folder: this is the claim (copied, where that is not possible)
    3  the moved file and both folders are synced; it is proven that nobody can write to it, or a
       private copy takes its place
    4  meta.json says that all this is done

Each step may be done again. The folder's name is derived from the drop's name and inode, so the
same drop finds the same folder after a crash.

Trouble: what can never be read (a link, a FIFO, …) is moved unopened, and its claim says why.
"""

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from orchestrator.spool import atomic, names, source
from orchestrator.spool.freeze import copy_file, freeze
from orchestrator.spool.meta import Meta, claimed_meta, load_meta, save_meta

DROPPED_FOLDER = "drop"
REMOVING = ".removing-"
UNBORN = f".{source.META}{atomic.TEMPORARY}"
REQUESTS = b"requests"
SET_OPTIONS = "set.toml"
SHORTER = "shorter than when it was taken; power was cut before it was safe"
GONE = "were taken away or replaced as it was taken; drop both again"
BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own


@dataclass(frozen=True, slots=True)
class Wanted:
    """A drop as the scan saw it; `trouble` says why it must not be opened."""

    raw: bytes
    name: str
    profile: str
    facts: os.stat_result
    inner: bytes | None = None
    sidecar: int | None = None
    options_bytes: int | None = None
    inner_bytes: int | None = None
    compression: str | None = None
    trouble: str | None = None

    @property
    def folder(self) -> str:
        """The name of its folder in `work/`."""
        facts = self.facts
        times = facts.st_mtime_ns, facts.st_ctime_ns
        return names.folder(self.raw, facts.st_dev, facts.st_ino, facts.st_size, *times)


def has_drop(folder: Path) -> bool:
    """Tell whether the drop of a claim was moved already."""
    return any(os.path.lexists(folder / name) for name in (source.INPUT, DROPPED_FOLDER))


def take(inbox: Path, work: Path, wanted: Wanted) -> str | None:
    """Do steps 1 and 2; returns the folder's name, None if the drop went away or changed."""
    folder = work / wanted.folder
    known = load_meta(folder)
    if known is not None and known.claimed:
        _drop_leftover(inbox, wanted, folder)
        return folder.name
    if not is_still(inbox / os.fsdecode(wanted.raw), wanted.facts):
        return None
    atomic.mkdir(folder, exist_ok=True)
    save_meta(folder, begin(wanted))
    atomic.fsync_dir(work)
    if not move(inbox / os.fsdecode(wanted.raw), folder / _first_place(wanted)):
        atomic.remove_tree(folder)
        return None
    return folder.name


def secure(inbox: Path, work: Path, name: str, *, patient: bool) -> Meta | None:
    """Do steps 3 and 4 of a claim whose drop was moved; None while somebody still writes to it.

    With `patient` False a private copy is made of what is still being written.
    """
    folder = work / name
    meta = claimed_meta(folder)
    if meta.claimed:
        return meta
    _end_the_move(inbox / os.fsdecode(meta.path), folder / source.INPUT)
    move_sidecar(inbox, folder, meta)
    if meta.trouble is None and meta.shape == "folder":
        meta.trouble = _unfold(folder, meta)
    if meta.trouble is None:
        meta.trouble = _secure_options(folder, meta)
    if meta.trouble is None:
        try:
            done = freeze(folder, meta, patient=patient)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.ELOOP):
                raise
            done, meta.trouble = True, f"it cannot be read ({os.strerror(error.errno)})"
        if not done:
            return None
    atomic.fsync_dir(folder)
    atomic.fsync_dir((inbox / os.fsdecode(meta.path)).parent)
    meta.claimed = True
    save_meta(folder, meta)
    return meta


def discard(work: Path, name: str) -> None:
    """Remove a set's folder: it is gone at once, or it is whole."""
    gone = work / f"{REMOVING}{name}"
    if (work / name).exists():
        atomic.rename(work / name, gone)
        atomic.fsync_dir(work)
    atomic.remove_tree(gone)


def drop_unborn(folder: Path) -> None:
    """Remove what a claim left that died before its meta.json was there: nothing of a drop."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if {entry.name for entry in folder.iterdir()} <= {UNBORN}:
            atomic.remove_tree(folder)


def disk_bytes(folder: Path) -> int:
    """Return how many bytes of disk everything in a folder takes; 0 when it is not there."""
    blocks = 0
    for place, _, names_ in os.walk(folder):
        for name in names_:
            with contextlib.suppress(FileNotFoundError):
                blocks += (Path(place) / name).lstat().st_blocks
    return blocks * BLOCK_BYTES


# ---- the steps ----------------------------------------------------------------------------------


def begin(wanted: Wanted) -> Meta:
    """Say what is about to be taken."""
    facts = wanted.facts
    return Meta(
        raw=wanted.raw.hex(),
        name=wanted.name,
        profile=wanted.profile,
        shape="folder" if stat.S_ISDIR(facts.st_mode) else "file",
        inner=wanted.inner.hex() if wanted.inner else None,
        sidecar=wanted.sidecar,
        compression=wanted.compression,
        dev=facts.st_dev,
        ino=facts.st_ino,
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        ctime_ns=facts.st_ctime_ns,
        trouble=wanted.trouble,
        options_bytes=wanted.options_bytes,
        inner_bytes=wanted.inner_bytes,
    )


def _first_place(wanted: Wanted) -> str:
    return DROPPED_FOLDER if stat.S_ISDIR(wanted.facts.st_mode) else source.INPUT


def is_still(path: Path, facts: os.stat_result) -> bool:
    """Tell whether what lies there is what the scan saw, unchanged."""
    try:
        now = path.lstat()
    except FileNotFoundError:
        return False
    return _identity(now) == _identity(facts)


def _identity(facts: os.stat_result) -> tuple[int, ...]:
    return (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)


def move(path: Path, target: Path) -> bool:
    """Rename the drop into its folder; False if it is not there any more."""
    try:
        if os.path.lexists(target):
            # Power was cut in the middle of the move. If one inode has both names, a rename of
            # one onto the other would do nothing, by POSIX.
            atomic.unlink(path)
        else:
            atomic.rename_new(path, target)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return _carry_over(path, target)
    return True


def _end_the_move(path: Path, target: Path) -> None:
    """Take away the name in the inbox, if power was cut when both names were on disk.

    With a third name it may be somebody's who dropped it once more: it is left.
    """
    with contextlib.suppress(FileNotFoundError):
        left = path.lstat()
        if os.path.samestat(left, target.lstat()) and left.st_nlink == 2:
            atomic.unlink(path)


def _carry_over(path: Path, target: Path) -> bool:
    """Copy a drop from another file system, then take its name away there."""
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EXDEV, "the inbox and work/ must lie on one file system", str(path))
    copy_file(path, target)
    if not is_still(path, facts):
        atomic.unlink(target)
        return False
    atomic.unlink(path)
    return True


def _drop_leftover(inbox: Path, wanted: Wanted, folder: Path) -> None:
    """Take away the name of a drop that is claimed already; nothing but that name is left of it."""
    path = inbox / os.fsdecode(wanted.raw)
    is_file = stat.S_ISREG(wanted.facts.st_mode) and (folder / source.INPUT).exists()
    if is_file and is_still(path, wanted.facts):
        atomic.unlink(path)
        atomic.fsync_dir(path.parent)


def move_sidecar(inbox: Path, folder: Path, meta: Meta) -> None:
    """Bring NAME.toml to its drop, if it is the one that the scan saw."""
    if meta.sidecar is None:
        return
    parsed = names.parse(meta.path)
    path = inbox / os.fsdecode((parsed.stem if parsed else meta.path) + names.SIDECAR)
    try:
        if path.lstat().st_ino == meta.sidecar:
            move(path, folder / source.OPTIONS)
    except FileNotFoundError:
        return


def _unfold(folder: Path, meta: Meta) -> str | None:
    """Bring the requests and the options of a dropped folder to their places."""
    dropped = folder / DROPPED_FOLDER
    if meta.inner is not None and not (folder / source.INPUT).exists():
        inner = dropped / os.fsdecode(bytes.fromhex(meta.inner))
        if not os.path.lexists(inner) or not stat.S_ISREG(inner.lstat().st_mode):
            return f"{inner.name} in it is not a regular file"
        atomic.rename_new(inner, folder / source.INPUT)
    if os.path.lexists(dropped / SET_OPTIONS):
        atomic.rename_new(dropped / SET_OPTIONS, folder / source.OPTIONS)
    atomic.fsync_dir(dropped)
    if meta.inner_bytes and (folder / source.INPUT).lstat().st_size < meta.inner_bytes:
        return f"it is {SHORTER}"
    return None


def _secure_options(folder: Path, meta: Meta) -> str | None:
    """Make the options durable; tell why they are not those that were dropped, None if they are.

    A set that ran without its options, or with half of them, could be paid at another model.
    """
    path = folder / source.OPTIONS
    if not os.path.lexists(path):
        return None if meta.options_bytes is None else f"its options {GONE}"
    facts = path.lstat()
    if facts.st_size < (meta.options_bytes or 0):
        return f"its options file is {SHORTER}"
    if stat.S_ISREG(facts.st_mode):
        atomic.fsync_path(path)
    return None
