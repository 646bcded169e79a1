"""Disks that are small, full, read-only or failing: mounts are real and need root."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.waiting import until

PAGE = 4096
IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="only root can mount a small disk")


@contextmanager
def small_disk(place: Path, options: str) -> Iterator[None]:
    """Mount a tmpfs there for a while."""
    place.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", options, "tmpfs", str(place))
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=20)


def mount(*arguments: str) -> None:
    """Mount."""
    subprocess.run(["mount", *arguments], check=True, timeout=20)


def remount(place: Path, mode: str) -> None:
    """Make it read-only ("ro") or writable again ("rw"), as soon as nobody is just writing."""

    def done() -> bool:
        command = ["mount", "-o", f"remount,{mode}", str(place)]
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0

    until(done, what=f"{place} to be {mode}", seconds=20)


def fill(place: Path, leave: int = 0) -> Path:
    """Take all room but so many bytes; returns what to remove."""
    ballast = place / ".filling.tmp"
    disk = os.statvfs(place)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for _ in range((disk.f_bavail * disk.f_frsize - leave) // PAGE):
            file.write(bytes(PAGE))
    return ballast


@contextmanager
def meddling(pid: int, calls: str, how: str, log: Path, *places: Path) -> Iterator[None]:
    """Meddle with these calls of a running process, at these places only, for a while."""
    at = [part for place in places for part in ("-P", str(place))]
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", str(log), *at, *inject, "-p", str(pid)],
        start_new_session=True,
    )
    try:
        until(lambda: _tracer_of(pid), what="the tracer", seconds=20)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets go of the process and ends
        tracer.wait(20)


def _tracer_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(row.split()[1]) for row in status.splitlines() if row.startswith("TracerPid"))
