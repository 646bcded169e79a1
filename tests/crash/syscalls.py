"""Kill, fail or stall an unmodified program at the n-th system call of a kind, by strace.

`when` counts in each thread on its own: the first thread that gets there is hit. A kill strikes
before the call acts. Children run without writing byte code: what injects faults must never let
Python leave torn files in a shared cache.
"""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHANGES = (
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "ftruncate",
    "fchmod",
    "openat",
    "sendto",
    "sendmsg",
)
PAGES = "pwrite64"
NETWORK = frozenset({"sendto", "sendmsg"})
ASKS = ('"POST /', '"DELETE /', '"PATCH /')  # other traffic changes nothing at the provider
FAILABLE = frozenset(
    "write pwrite64 fsync fdatasync rename renameat2 mkdir openat ftruncate".split()  # noqa: SIM905
)
_CALL = re.compile(r"(?P<pid>\d+)\s+(?P<name>\w+)\((?P<rest>.*)")
_PLACE = re.compile(r'<([^>]*)>|"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Point:
    """The `nth` call of a kind in some thread, and the first place that was seen there."""

    call: str
    nth: int
    place: str

    def __str__(self) -> str:
        return f"{self.call}#{self.nth}"

    def is_page_of(self, other: "Point | None") -> bool:
        """Tell whether both are page writes to one file of the ledger."""
        return other is not None and self.call == other.call == PAGES and self.place == other.place


@dataclass(frozen=True)
class Injection:
    """What happens at a point: `signal=KILL`, `error=ENOSPC`, `retval=0`, `delay_enter=…`."""

    point: Point
    what: str

    @property
    def argument(self) -> str:
        """The injection as strace is told it."""
        return f"inject={self.point.call}:{self.what}:when={self.point.nth}"


@cache
def unavailable() -> str | None:
    """Say why strace cannot be used here, None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed (.ci/run installs it)"
    tried = subprocess.run(
        ["strace", "-f", "-qq", "-o", "/dev/null", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if tried.returncode == 0 else f"ptrace is not allowed here: {tried.stderr.strip()}"


def traced(log: Path, *injections: Injection, calls: Iterable[str] = CHANGES) -> list[str]:
    """Return the prefix of a command whose calls are logged and struck."""
    names = sorted({*calls, *(one.point.call for one in injections)})
    struck = [part for one in injections for part in ("-e", one.argument)]
    return [
        *("strace", "-f", "-qq", "-y", "--seccomp-bpf", "-o", str(log)),
        *("-e", "signal=none", "-e", "trace=" + ",".join(f"?{name}" for name in names)),
        *struck,
    ]


@dataclass(frozen=True)
class Seen:
    """One call in a log: who, what, where."""

    pid: str
    call: str
    nth: int
    place: str
    text: str


def read_log(log: Path) -> list[Seen]:
    """Read a log in the order in which the calls began."""
    counts: Counter[tuple[str, str]] = Counter()
    seen = []
    for line in log.read_text(errors="replace").splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        pid, name, rest = found["pid"], found["name"], found["rest"]
        counts[pid, name] += 1
        place = _PLACE.search(rest)
        where = (place[1] or place[2] or "") if place else ""
        seen.append(Seen(pid, name, counts[pid, name], where, line))
    return seen


def points(log: Path, below: Path) -> list[Point]:
    """Return every point of a run that changes `below` or the provider, each once, in order.

    Of the pages that SQLite writes one after the other the first and the last: a life that ends
    between them leaves the same unfinished transaction.
    """
    found: dict[tuple[str, int], Point] = {}
    for one in read_log(log):
        if _changes(one, str(below)):
            place = one.place.replace(str(below), "")
            found.setdefault((one.call, one.nth), Point(one.call, one.nth, place))
    listed = list(found.values())
    ends = [None, *listed], [*listed[1:], None]
    return [
        point
        for before, point, after in zip(ends[0], listed, ends[1], strict=False)
        if not (point.is_page_of(before) and point.is_page_of(after))
    ]


def _changes(one: Seen, below: str) -> bool:
    if one.call in NETWORK:
        return any(verb in one.text for verb in ASKS)
    return below in one.text and (one.call != "openat" or "O_CREAT" in one.text)
