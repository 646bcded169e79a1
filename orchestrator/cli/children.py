"""Processes that the demo starts as a user would, and that never outlive it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.cli import failure
from orchestrator.service.printable import printable

STOP_SECONDS_MAX = 10.0
TAIL_LINES = 12
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # looked up before the fork, not after it


@dataclass(frozen=True, slots=True)
class Child:
    """A running process and where its output goes."""

    name: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def check(self) -> None:
        """End the command with the tail of its log if the process has ended."""
        code = self.process.poll()
        if code is None:
            return
        tail = "\n".join(
            f"  {printable(line)}" for line in self.output().splitlines()[-TAIL_LINES:]
        )
        sys.stderr.write(f"the last lines of {self.log}:\n{tail}\n")
        advice = f"see {self.log} and report it, or try another --dir"
        raise failure.Failure(
            f"the {self.name} ended with status {code}; {advice}", failure.SOFTWARE
        )

    def output(self) -> str:
        """Return what it said so far."""
        return self.log.read_text("utf-8", "replace")


@contextmanager
def child(
    name: str, arguments: Sequence[str], log: Path, environ: Mapping[str, str]
) -> Iterator[Child]:
    """Run `python -m orchestrator ARGUMENTS` while the context lasts.

    It gets a session of its own, so that Ctrl-C reaches only us and we end it in order; should we
    be killed, the kernel ends it.
    """
    command = [sys.executable, "-m", "orchestrator", *arguments]
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=dict(environ),
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call, and no thread is running
        )
    try:
        yield Child(name, process, log)
    finally:
        _end(process)


def clean_environment(**more: str) -> dict[str, str]:
    """Return our environment without settings of another install."""
    foreign = ("ORCHESTRATOR_", "GEMINI_", "GOOGLE_")
    systemd = {"CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and name not in systemd
    }
    return kept | more


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to stop; insist after a while, or when the user does."""
    try:
        process.terminate()
        process.wait(STOP_SECONDS_MAX)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
