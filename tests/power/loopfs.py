"""Power cuts as a real ext4 or xfs sees them: a loop mount that is shut down without a flush.

The kernel's own FS_IOC_SHUTDOWN (what xfstests calls "godown") drops everything that was not
synced; mounting again runs the real recovery of the journal. What neither file system shows is a
missing sync of a folder; the simulated disk and the strict file system do.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

FS_IOC_SHUTDOWN = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2
BYTES = {"ext4": 64 << 20, "xfs": 320 << 20}
MAKE = {"ext4": ("mkfs.ext4", "-q", "-F"), "xfs": ("mkfs.xfs", "-q", "-f")}


@cache
def unavailable(kind: str) -> str | None:
    """Say why this file system cannot be mounted and cut here, None if it can."""
    if os.geteuid() != 0:
        return "real power cuts need root: run `make soak` as root"
    if shutil.which(MAKE[kind][0]) is None:
        return f"{MAKE[kind][0]} is not installed (.ci/run installs it)"
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    if kind not in known or not Path("/dev/loop-control").exists():
        return f"this kernel cannot mount {kind} from a file"
    return None


class LoopDisk:
    """A file system in a file, mounted at `place`."""

    def __init__(self, root: Path, kind: str) -> None:
        self.kind = kind
        self.place = root / "mounted"
        self._image = root / "image"
        self._golden = root / "golden"
        self.place.mkdir()
        with self._golden.open("wb") as file:
            file.truncate(BYTES[kind])
        _run(*MAKE[kind], str(self._golden))

    def renew(self) -> None:
        """Mount a new, empty file system."""
        _run("cp", "--sparse=always", str(self._golden), str(self._image))
        _run("mount", "-o", "loop", str(self._image), str(self.place))

    def settle(self) -> None:
        """Make everything durable as it stands."""
        _run("sync", "-f", str(self.place))

    def cut(self) -> None:
        """Cut the power and come back: what was not synced is gone.

        A copy comes back: whoever made a mount namespace meanwhile keeps the dead mount of the
        file alive, and mounting the same file again would show that one.
        """
        folder = os.open(self.place, os.O_RDONLY)
        fcntl.ioctl(folder, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(folder)
        self.leave()
        survivor = self._image.with_name("survivor")
        _run("cp", "--sparse=always", str(self._image), str(survivor))
        survivor.replace(self._image)
        _run("mount", "-o", "loop", str(self._image), str(self.place))

    def leave(self) -> None:
        """Unmount; whoever died may hold it for a moment."""
        for _ in range(200):
            ended = subprocess.run(["umount", str(self.place)], check=False, capture_output=True)
            if ended.returncode == 0:
                return
            time.sleep(0.02)
        raise TimeoutError(f"cannot unmount {self.place}")


@contextmanager
def loop_disk(root: Path, kind: str) -> Iterator[LoopDisk]:
    """Make and mount a new, empty disk, and leave nothing mounted."""
    root.mkdir(exist_ok=True)
    disk = LoopDisk(root, kind)
    disk.renew()
    try:
        yield disk
    finally:
        if os.path.ismount(disk.place):
            disk.leave()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
