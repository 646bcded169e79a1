"""Makes sure that nobody can write to a claimed file any more.

A lease for reading is granted by the kernel only while nobody has the file open for writing. Where
one cannot be had, or where a reader could open the file anew (it has another name or owner), a
private copy takes the file's place.
"""

import errno
import fcntl
import os
import signal
import stat
from pathlib import Path
from typing import Literal, TypeAlias

from orchestrator.spool import atomic, source
from orchestrator.spool.meta import Meta

COPY_TRIES = 3
_COPY_BYTES = 64 << 20
_COPY = "copy"

Writers: TypeAlias = Literal["none", "some", "unknown"]


def freeze(folder: Path, meta: Meta, *, patient: bool) -> bool:
    """Make sure that the input is on disk and that nobody can write to it any more."""
    path = folder / source.INPUT
    file = atomic.open_read(path)
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):
            meta.trouble = "it is not a regular file"
            return True
        if meta.shape == "file" and facts.st_size < meta.size:
            meta.trouble = "it is shorter than when it was taken; power was cut before it was safe"
            return True
        alone = writers(file)
        if alone == "some" and patient:
            return False
        if alone != "none" or facts.st_nlink > 1 or facts.st_uid != os.geteuid():
            _private_copy(path, meta)
            return True
        atomic.chmod(file, 0o400, path)
        atomic.fsync(file, path)  # nobody knows whether its producer did
    finally:
        os.close(file)
    return True


def _private_copy(path: Path, meta: Meta) -> None:
    for _ in range(COPY_TRIES):
        before = path.lstat()
        beside = path.with_name(_COPY)
        copy_file(path, beside)
        after = path.lstat()
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            file = atomic.open_read(beside)
            atomic.chmod(file, 0o400, beside)
            os.close(file)
            atomic.rename(beside, path)
            atomic.fsync_dir(path.parent)
            return
        atomic.unlink(beside)
    meta.trouble = "somebody kept writing to it while it was copied; close it and drop it again"


def writers(file: int) -> Writers:
    """Tell whether anybody has this file open for writing, by asking for a lease on it."""
    try:
        # The break of a lease is told by a signal that is ignored, not by the deadly SIGIO.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return "some" if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK) else "unknown"
    return "none"


def copy_file(path: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.tmp")
    file = atomic.open_read(path)
    into = atomic.create(beside, 0o600)
    try:
        while atomic.copy_bytes(file, into, _COPY_BYTES, target):
            pass
        atomic.fsync(into, target)
    finally:
        os.close(file)
        os.close(into)
    atomic.rename(beside, target)
    atomic.fsync_dir(target.parent)
