"""A disk that forgets what was not synced, under the real folders of a simulated daemon.

A file's content is durable as of the last fsync of the file, a folder's names as of the last
fsync of the folder; nothing else is promised but that a rename does not lose the file, which is
stricter than ext4 and xfs. The disk
listens where the program asks the kernel for durability, so it sees every fsync, from wherever
it comes. `cut` rebuilds the folders as a power cut would leave them: the strict way, nothing
unsynced survives; or by chance, each unsynced name and write survives or does not.

SQLite syncs below Python; the ledger's files are left alone here (see `ledger_image`).
Needs a file system that never uses an inode's number twice: tmpfs.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from orchestrator.spool import flush

LEDGER = "orchestrator.db"
TMPFS = Path("/dev/shm")


@dataclass
class _Memory:
    """What is durable: content by inode, names by the inode of their folder."""

    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, int]] = field(default_factory=dict)


class Disk:
    """The folders under `root`. Counts its syncs; `deaf` numbers are reported done, but are not."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.syncs = 0
        self.deaf: frozenset[int] = frozenset()
        self.log: list[str] = []
        self._durable = _Memory()
        self._device = root.stat().st_dev
        self.settle()

    def settle(self) -> None:
        """Make everything durable as it stands: what others put there, long ago."""
        self._durable = _Memory()
        for folder, names, files in os.walk(self.root):
            here = Path(folder)
            self._durable.names[here.stat().st_ino] = _entries(here)
            for name in files:
                path = here / name
                if _is_plain(path.lstat()) and not name.startswith(LEDGER):
                    self._durable.contents[path.lstat().st_ino] = path.read_bytes()
            names.sort()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear every fsync and fdatasync of this interpreter."""
        fsync, fdatasync = os.fsync, os.fdatasync

        def heard(file: Any) -> None:
            number = file if isinstance(file, int) else file.fileno()
            self._heard(number)

        syncfs = flush.syncfs
        os.fsync = os.fdatasync = heard  # type: ignore[assignment]
        flush.syncfs = self._heard_all  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fsync, os.fdatasync = fsync, fdatasync
            flush.syncfs = syncfs

    def _heard_all(self, number: int) -> None:
        """Take everything for durable, as one sync of the whole file system makes it."""
        path = Path(f"/proc/self/fd/{number}").readlink()
        if not path.is_relative_to(self.root):
            return
        self.syncs += 1
        self.log.append(f"all of {path.relative_to(self.root)}")
        if self.syncs not in self.deaf:
            self.settle()

    def _heard(self, number: int) -> None:
        told = os.fstat(number)
        path = Path(f"/proc/self/fd/{number}").readlink()
        if told.st_dev != self._device or not path.is_relative_to(self.root):
            return
        self.syncs += 1
        self.log.append(str(path.relative_to(self.root)))
        if self.syncs in self.deaf:
            return
        if stat.S_ISDIR(told.st_mode):
            self._durable.names[told.st_ino] = _entries(path)
        else:
            self._durable.contents[told.st_ino] = _read_open(number)

    # ---- the power cut ------------------------------------------------------------------------

    def cut(self, chance: Random | None = None) -> None:
        """Leave what a power cut leaves: nothing unsynced, or by chance some of it."""
        was = _Volatile(self.root)
        after = self.root.with_name(self.root.name + ".cut")
        after.mkdir(self.root.stat().st_mode & 0o7777)
        self._rebuild(self.root.stat().st_ino, after, was, chance)
        shutil.rmtree(self.root)
        after.rename(self.root)
        self.settle()

    def _rebuild(self, folder: int, target: Path, was: "_Volatile", chance: Random | None) -> None:
        for name, inode in sorted(self._names_left(folder, was, chance).items()):
            if inode in was.names or inode in self._durable.names:
                (target / name).mkdir(was.modes.get(inode, 0o700))
                self._rebuild(inode, target / name, was, chance)
            else:
                self._restore(inode, target / name, was, chance)

    def _names_left(self, folder: int, was: "_Volatile", chance: Random | None) -> dict[str, int]:
        """Choose what a folder shows. A file that was only renamed never loses both its names."""
        now = was.names.get(folder, {})
        left = dict(self._durable.names.get(folder, {}))
        for name in sorted(left.keys() | now.keys()):
            survives = name.startswith(LEDGER) or (chance is not None and chance.random() < 0.5)
            if left.get(name) == now.get(name) or not survives:
                continue
            if name not in now and was.moved(left[name]) and not self._lasts(left[name], was):
                continue
            left.pop(name, None)
            if name in now:
                left[name] = now[name]
        return left

    def _lasts(self, inode: int, was: "_Volatile") -> bool:
        """Tell whether an inode has a name that no cut takes: durable, current, and so its folder.

        What a folder that was removed meanwhile called it is no name any more.
        """
        lasting = [self.root.stat().st_ino]
        for here in lasting:
            now = was.names.get(here, {})
            for name, named in self._durable.names.get(here, {}).items():
                if now.get(name) != named:
                    continue
                if named == inode:
                    return True
                if named in self._durable.names:
                    lasting.append(named)
        return False

    def _restore(self, inode: int, path: Path, was: "_Volatile", chance: Random | None) -> None:
        """Put an inode under a name, with the content that survived; the same inode if it lives."""
        source = was.paths.get(inode)
        if source is not None and (not was.plain(inode) or path.name.startswith(LEDGER)):
            os.link(source, path, follow_symlinks=False)
            return
        durable = self._durable.contents.get(inode, b"")
        if source is None:
            path.write_bytes(durable)
            return
        os.link(source, path)
        content = _survivor(durable, source.read_bytes(), chance)
        if path.read_bytes() != content:
            told = path.stat()
            path.chmod(0o600)
            path.write_bytes(content)
            path.chmod(told.st_mode & 0o7777)
            os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


class _Volatile:
    """What the running kernel shows: names, paths and modes by inode."""

    def __init__(self, root: Path) -> None:
        self.names: dict[int, dict[str, int]] = {}
        self.paths: dict[int, Path] = {}
        self.modes: dict[int, int] = {}
        self._plain: set[int] = set()
        for folder, _, files in os.walk(root):
            here = Path(folder)
            told = here.stat()
            self.names[told.st_ino] = _entries(here)
            self.modes[told.st_ino] = told.st_mode & 0o7777
            for name in files:
                one = (here / name).lstat()
                self.paths[one.st_ino] = here / name
                if _is_plain(one):
                    self._plain.add(one.st_ino)

    def moved(self, inode: int) -> bool:
        """Tell whether an inode is still alive, under whatever name."""
        return inode in self.paths or inode in self.names

    def plain(self, inode: int) -> bool:
        """Tell whether an inode is a regular file."""
        return inode in self._plain


def _survivor(durable: bytes, current: bytes, chance: Random | None) -> bytes:
    if chance is None or durable == current:
        return durable
    match chance.randrange(3):
        case 0:
            return durable
        case 1:
            return current
        case _:  # only a part of the writes came through
            kept = chance.randrange(len(current) + 1)
            return current[:kept] + durable[kept:]


def _entries(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries}


def _is_plain(told: os.stat_result) -> bool:
    return stat.S_ISREG(told.st_mode)


def _read_open(number: int) -> bytes:
    """Read a file that may be open for writing only, and may have lost its name."""
    with open(f"/proc/self/fd/{number}", "rb") as file:  # noqa: PTH123 - a link of the kernel's
        return file.read()
