"""Trace an unmodified program, and strike it at the n-th system call of a kind, by strace.

`when` counts in each thread on its own: the first thread that gets there is hit. A kill strikes
before the call acts. Children run without writing byte code: what injects faults must never let
Python leave torn files in a shared cache.
"""

import re
import shutil
import subprocess
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
NETWORK = frozenset({"sendto", "sendmsg"})
ASKS = ('"POST /', '"DELETE /', '"PATCH /')  # other traffic changes nothing at the provider
_CALL = re.compile(r"(?P<pid>\d+)\s+(?P<name>\w+)\((?P<rest>.*)")


@dataclass(frozen=True)
class Injection:
    """What happens at the `nth` call of a kind in some thread: `signal=KILL`, `error=ENOSPC`, …"""

    call: str
    nth: int
    what: str

    @property
    def argument(self) -> str:
        """The injection as strace is told it."""
        return f"inject={self.call}:{self.what}:when={self.nth}"


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
    """Return the prefix of a command whose calls are logged and struck.

    Not with `--seccomp-bpf`, though it is faster: some kernels then lose the signals of injections.
    """
    names = sorted({*calls, *(one.call for one in injections)})
    struck = [part for one in injections for part in ("-e", one.argument)]
    return [
        *("strace", "-f", "-qq", "-y", "-o", str(log)),
        *("-e", "signal=none", "-e", "trace=" + ",".join(f"?{name}" for name in names)),
        *struck,
    ]


@dataclass(frozen=True)
class Seen:
    """One call in a log: its name, `send` for whatever is sent, and its line."""

    call: str
    text: str


def changes(log: Path, below: Path) -> list[Seen]:
    """Return the calls of a run that change `below` or the provider, in the order they began in."""
    found = (_CALL.match(line) for line in log.read_text(errors="replace").splitlines())
    seen = [Seen(one["name"], one.string) for one in found if one is not None]
    return [
        Seen("send", one.text) if one.call in NETWORK else one
        for one in seen
        if _changes(one, str(below))
    ]


def _changes(one: Seen, below: str) -> bool:
    if one.call in NETWORK:
        return any(verb in one.text for verb in ASKS)
    return below in one.text and (one.call != "openat" or "O_CREAT" in one.text)
