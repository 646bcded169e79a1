"""Every durable effect on the folders: write, fsync, rename, link, unlink, mkdir.

Trouble: an error of any of these means that we no longer know what is on the disk. It is raised
as it is, never retried and never swallowed; a failed fsync least of all.

All of the room's effects go through this module, so a test can count them, fail one of them or
stop the world before or after it: see `observed`.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

Moment: TypeAlias = Literal["before", "after"]
Observer: TypeAlias = Callable[[Moment, str, Path], None]

WRITE_BYTES_MAX = 1 << 18  # larger temporary buffers cost page faults
TEMPORARY = ".tmp"

_OPENAT2 = 437  # the same number on every architecture
_RESOLVE = 0x08 | 0x04 | 0x02 | 0x01  # BENEATH | NO_SYMLINKS | NO_MAGICLINKS | NO_XDEV
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_observers: list[Observer] = []


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Tell `observer(moment, verb, path)` before and after each effect; what it raises goes up."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


@contextmanager
def effect(verb: str, path: Path) -> Iterator[None]:
    """Tell the observers of what is done meanwhile."""
    for observer in _observers:
        observer("before", verb, path)
    yield
    for observer in _observers:
        observer("after", verb, path)


# ---- opening ------------------------------------------------------------------------------------


def open_read(path: Path) -> int:
    """Open for reading without following a last link and without waiting (a FIFO opens at once)."""
    return os.open(path, _READ)


def open_folder(path: Path) -> int:
    """Open a folder, not through a last link, to open and move things below it."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def open_beneath(folder: int, name: bytes) -> int:
    """Open `name` below the folder for reading; no link on the way is followed.

    Raises OSError: ELOOP for a symbolic link, EXDEV for a way out of the folder.
    """
    how = struct.pack("QQQ", _READ, 0, _RESOLVE)
    found: int = _libc().syscall(_OPENAT2, folder, name, how, len(how))
    if found >= 0:
        return found
    code = ctypes.get_errno()
    if code not in (errno.ENOSYS, errno.EPERM):  # EPERM: an old container's seccomp filter
        raise OSError(code, os.strerror(code), os.fsdecode(name))
    return _open_step_by_step(folder, name)


def _open_step_by_step(folder: int, name: bytes) -> int:
    *ways, last = name.split(b"/")
    if not last or {b"", b".", b".."} & {*ways, last}:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(name))
    here = os.dup(folder)
    try:
        for way in ways:
            step = os.open(way, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = step
        return os.open(last, _READ, dir_fd=here)
    finally:
        os.close(here)


# ---- effects ------------------------------------------------------------------------------------


def create(path: Path, mode: int = 0o640) -> int:
    """Make an empty file in place of what was there and open it for writing."""
    with effect("create", path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, mode)


def truncate(file: int, size: int, path: Path) -> None:
    """Give an open file a size; what is new reads as zeros and takes no room."""
    with effect("truncate", path):
        os.ftruncate(file, size)


def copy_bytes(source: int, target: int, size: int, path: Path) -> int:
    """Copy up to `size` bytes from the files' positions inside the kernel; returns how many."""
    with effect("write", path):
        try:
            return os.copy_file_range(source, target, size)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
                raise
        return os.sendfile(target, source, None, size)


def write_all(file: int, data: bytes | bytearray | memoryview, path: Path) -> None:
    """Write all of `data` at the file's position; short writes are gone on with."""
    with effect("write", path):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(file, rest) :]


def fsync(file: int, path: Path) -> None:
    """Make the content of an open file or folder durable."""
    with effect("fsync", path):
        os.fsync(file)


def fsync_path(path: Path) -> None:
    """Make the content of a file that somebody else wrote durable."""
    file = open_read(path)
    try:
        fsync(file, path)
    finally:
        os.close(file)


def fsync_dir(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = open_folder(path)
    try:
        fsync(folder, path)
    finally:
        os.close(folder)


def write_back(file: int, offset: int, size: int) -> None:
    """Let the kernel begin to write a range out: a hint, after which an fsync has less to do."""
    with suppress(AttributeError):  # another C library
        begin = _libc().sync_file_range
        begin(file, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE)


def rename(source: Path, target: Path) -> None:
    """Rename, replacing the target. Not durable until both folders are synced."""
    with effect("rename", target):
        source.rename(target)


def rename_new(source: Path, target: Path) -> None:
    """Rename only if there is no target; raises FileExistsError if there is one.

    Where the file system cannot do this in one step a check comes first: the folders that this
    is used on are our own.
    """
    with effect("rename", target):
        failed = _libc().renameat2(
            -100, os.fsencode(source), -100, os.fsencode(target), _RENAME_NOREPLACE
        )
        if not failed:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code), str(source), None, str(target))
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        source.rename(target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; raises FileExistsError if that is taken."""
    with effect("link", target):
        os.link(source, target, follow_symlinks=False)


def unlink(path: Path, *, missing_ok: bool = False) -> None:
    """Take a name away."""
    with effect("unlink", path):
        path.unlink(missing_ok=missing_ok)


def mkdir(path: Path, mode: int = 0o700, *, exist_ok: bool = False) -> None:
    """Make a folder; its parent is not yet synced."""
    with effect("mkdir", path):
        path.mkdir(mode, exist_ok=exist_ok)


def rmdir(path: Path) -> None:
    """Remove an empty folder."""
    with effect("rmdir", path):
        path.rmdir()


def chmod(file: int, mode: int, path: Path) -> None:
    """Set the mode of an open file."""
    with effect("chmod", path):
        os.fchmod(file, mode)


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it, beside others who do; no link is ever followed."""
    if path.is_symlink() or not path.is_dir():
        unlink(path, missing_ok=True)
        return
    with suppress(FileNotFoundError):
        for entry in sorted(path.iterdir()):
            remove_tree(entry)
        rmdir(path)


def write_file(path: Path, data: bytes, mode: int = 0o640, *, sync_name: bool = True) -> None:
    """Put a small file under `path`, whole and durable, replacing what was there (see `commit`)."""
    with Writer(path, mode) as writer:
        writer.write(data)
        writer.commit(sync_name=sync_name)


class Writer:
    """A file that appears under its name whole and durable, or not at all.

    Written beside its place, under `.<name>.tmp`; `commit()` syncs it, renames it and syncs the
    folder. Left without a commit, nothing of it remains. Buffers up to 256 KiB.
    """

    def __init__(self, path: Path, mode: int = 0o640) -> None:
        self.path = path
        self.size = 0
        self._temporary = path.with_name(f".{path.name}{TEMPORARY}")
        self._held: list[bytes] = []
        self._held_bytes = 0
        unlink(self._temporary, missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(self._temporary, flags, mode)

    def write(self, data: bytes) -> None:
        """Append."""
        self._held.append(data)
        self._held_bytes += len(data)
        self.size += len(data)
        if self._held_bytes >= WRITE_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the kernel."""
        if self._held:
            write_all(self._file, b"".join(self._held), self.path)
            self._held.clear()
            self._held_bytes = 0

    def commit(self, *, sync_name: bool = True) -> None:
        """Let the file appear, durably; without `sync_name` the caller syncs the folder later."""
        self.flush()
        fsync(self._file, self.path)
        os.close(self._file)
        self._file = -1
        rename(self._temporary, self.path)
        if sync_name:
            fsync_dir(self.path.parent)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
            # A death leaves the temporary file behind as well; whoever writes again clears it.
            if kind is None or issubclass(kind, Exception):
                unlink(self._temporary, missing_ok=True)


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
