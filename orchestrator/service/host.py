"""Facts about the machine: which one, which boot, what is left, and a clock that never jumps."""

import errno
import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "afs"})
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})  # the errors of a full disk, and of a full quota


@dataclass(frozen=True, slots=True)
class Space:
    """What is left on the file system that holds a folder."""

    free_bytes: int
    total_bytes: int
    free_inodes: int | None  # None where the file system does not count them
    read_only: bool


def boottime() -> float:
    """Return seconds since the boot, also those spent in suspend; never set, never stepped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    """Return what tells this boot of the machine from every other; "" where nothing does."""
    return _first_line(Path("/proc/sys/kernel/random/boot_id"))


def machine_id() -> str:
    """Return what tells this machine from others; "" where nothing does."""
    return _first_line(Path("/etc/machine-id")) or _first_line(Path("/var/lib/dbus/machine-id"))


def space(folder: Path) -> Space:
    """Look at the file system of a folder, as a process without privileges may use it."""
    facts = os.statvfs(folder)
    return Space(
        free_bytes=facts.f_bavail * facts.f_frsize,
        total_bytes=facts.f_blocks * facts.f_frsize,
        free_inodes=facts.f_favail if facts.f_files else None,
        read_only=bool(facts.f_flag & os.ST_RDONLY),
    )


def is_read_only(folder: Path) -> bool:
    """Tell whether the file system of a folder is mounted so that nothing can be written."""
    return space(folder).read_only


def refuses_files(folder: Path) -> bool:
    """Tell by trying whether a folder is on a read-only file system; what is tried has no name."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return error.errno == errno.EROFS or is_read_only(folder)
    os.close(descriptor)
    return False


def descriptors_max() -> int:
    """Return how many files this process may have open at once."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def file_system(folder: Path) -> str:
    """Return the type of the file system that holds a folder, as in /proc/self/mounts; or ""."""
    device = folder.stat().st_dev
    best, kind = "", ""
    for line in _lines(Path("/proc/self/mountinfo")):
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or _device(fields[2]) != device or len(fields[4]) < len(best):
            continue
        best, kind = fields[4], right.split()[0]
    return kind


def _device(text: str) -> int:
    major, _, minor = text.partition(":")
    return os.makedev(int(major), int(minor))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _first_line(file: Path) -> str:
    return (_lines(file) or [""])[0].strip()
