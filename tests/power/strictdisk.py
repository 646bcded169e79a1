"""The strict file system, mounted and served by a process of its own, with its power to be cut."""

import ctypes
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from tests.power.strictfs import WRITE_BYTES_MAX, Memory, Server

DEVICE = Path("/dev/fuse")
MS_NOSUID, MS_NODEV = 2, 4
PR_SET_PDEATHSIG = 1
PATIENCE_SECONDS = 20.0
MOUNTED, SETTLE, SETTLED, LEAVE = b"m", b"s", b"S", b"l"


@cache
def unavailable() -> str | None:
    """Say why it cannot be mounted here, None if it can."""
    if os.geteuid() != 0:
        return "the strict file system needs root: run `make soak` as root"
    return None if DEVICE.exists() else f"this kernel has no {DEVICE}"


class StrictDisk:
    """A strict file system at `place`."""

    def __init__(self, root: Path) -> None:
        self.place = root / "mounted"
        self.place.mkdir()
        self._ours, theirs = socket.socketpair()
        self._ours.settimeout(PATIENCE_SECONDS)
        self._server = os.fork()
        if self._server == 0:
            try:
                self._ours.close()
                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
                _serve(self.place, theirs)
            finally:
                os._exit(0)
        theirs.close()
        self._expect(MOUNTED)

    def settle(self) -> None:
        """Make everything durable as it stands."""
        self._ours.send(SETTLE)
        self._expect(SETTLED)

    def cut(self) -> None:
        """Cut the power and come back: what was not synced is gone."""
        self._unmount()
        self._expect(MOUNTED)

    def leave(self) -> None:
        """Unmount it for good."""
        self._ours.send(LEAVE)
        self._unmount()
        os.waitpid(self._server, 0)
        self._ours.close()

    def _unmount(self) -> None:
        """Unmount; whoever died may hold it for a moment."""
        ends = time.monotonic() + PATIENCE_SECONDS
        while subprocess.run(["umount", self.place], check=False, capture_output=True).returncode:
            if time.monotonic() > ends:
                raise TimeoutError(f"cannot unmount {self.place}")
            time.sleep(0.02)

    def _expect(self, word: bytes) -> None:
        heard = self._ours.recv(1)
        assert heard == word, f"the file system's server says {heard!r} instead of {word!r}"


@contextmanager
def strict_disk(root: Path) -> Iterator[StrictDisk]:
    """Make and mount a new, empty disk, and leave nothing mounted."""
    root.mkdir(exist_ok=True)
    disk = StrictDisk(root)
    try:
        yield disk
    finally:
        disk.leave()


def _serve(place: Path, control: socket.socket) -> None:
    """Mount, answer, and after each cut mount again, until it is to be left."""
    server, leaving = Server(Memory()), False
    while not leaving:
        device = _mount(place)
        control.send(MOUNTED)
        leaving = _answer(device, server, control)
        os.close(device)
        server.memory.cut()


def _answer(device: int, server: Server, control: socket.socket) -> bool:
    """Answer until it is unmounted; tells whether that is for good."""
    leaving = False
    while True:
        ready, _, _ = select.select([device, control.fileno()], [], [])
        if control.fileno() in ready:
            word = control.recv(1)
            if word == SETTLE:
                server.memory.settle()
                control.send(SETTLED)
            leaving = leaving or word in (LEAVE, b"")
        if device not in ready:
            continue
        try:
            asked = os.read(device, WRITE_BYTES_MAX + 8192)
        except OSError:  # ENODEV: unmounted
            return leaving
        answer = server.answer(asked)
        if answer is not None:
            with suppress(OSError):  # whoever asked was interrupted, and is gone
                os.write(device, answer)


def _mount(place: Path) -> int:
    """Mount at a place and return the device that asks."""
    device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    libc = ctypes.CDLL(None, use_errno=True)
    flags = MS_NOSUID | MS_NODEV
    if libc.mount(b"strict", os.fsencode(place), b"fuse", flags, options.encode()):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(place))
    return device
