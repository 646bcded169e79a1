"""Processes under measurement: their CPU seconds and the memory that they hold together.

Memory is the proportional share (PSS), so a library that three processes share counts once.
Mapped index files are told apart from it: they are page cache that the kernel takes back at will.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MEGABYTE = 1_000_000
LOOK_SECONDS = 0.1
LOOK_SHARE = 10  # a look may take a tenth of a core, whatever maps there are


def below(pid: int) -> list[int]:
    """Return the process ids below a process."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *below(child)]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process and of all below it, dead children included."""
    ticks = 0
    for each in [pid, *below(pid)]:
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / TICKS


def memory(pid: int) -> tuple[int, int]:
    """Return (resident, of it mapped index files) of a process and all below it, in bytes."""
    whole = mapped = 0
    for each in [pid, *below(pid)]:
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            maps = Path(f"/proc/{each}/smaps").read_text() if ".idx" in _maps(each) else ""
        except OSError:
            continue
        whole += 1024 * int(rollup.partition("\nPss:")[2].split()[0])
        mapped += _mapped(maps)
    return whole, mapped


def _maps(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def _mapped(maps: str) -> int:
    is_index, size = False, 0
    for line in maps.splitlines():
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):
            is_index = rest.endswith((".idx", ".sorted"))
        elif is_index and name == "Pss:":
            size += 1024 * int(rest.split()[0])
    return size


@dataclass(slots=True)
class Watched:
    """A process that is looked at up to ten times a second until it is told to stop."""

    pid: int
    peak_bytes: int = 0
    peak_mapped_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def looking(self) -> Iterator["Watched"]:
        """Look while the context lasts."""
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _look(self) -> None:
        rest = LOOK_SECONDS
        while not self._stop.wait(rest):
            began = time.thread_time()
            whole, mapped = memory(self.pid)
            self.peak_bytes = max(self.peak_bytes, whole - mapped)
            self.peak_mapped_bytes = max(self.peak_mapped_bytes, mapped)
            rest = max(LOOK_SECONDS, LOOK_SHARE * (time.thread_time() - began))


def start(
    arguments: list[str], log: Path, environ: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start Python with some arguments; what it says goes to `log`."""
    foreign = ("ORCHESTRATOR_", "GEMINI_", "GOOGLE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=kept | dict(environ or {}),
        )


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that we started."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
