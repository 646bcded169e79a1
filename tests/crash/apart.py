"""Does something in a forked process and brings back what came of it, as JSON in a file."""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """The process ended by an exception, or without a word."""


def begin(answer: Path, work: Callable[[], object]) -> int:
    """Start the work and return the process; what comes of it will lie in `answer`."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent()
        answer.write_text(json.dumps(_said(work)))
    finally:
        os._exit(0)


def ended(answer: Path) -> Any:
    """Return what came of a process that has ended; raises Failed."""
    said = {"failed": "ended without a word"}
    with suppress(FileNotFoundError):
        said = json.loads(answer.read_text())
    if "failed" in said:
        raise Failed(said["failed"])
    return said["answer"]


def done(answer: Path, work: Callable[[], object]) -> Any:
    """Do the work now and return what came of it; raises Failed."""
    os.waitpid(begin(answer, work), 0)
    return ended(answer)


def die_with_parent() -> None:
    """Let nothing that was forked outlive whoever looks after it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _said(work: Callable[[], object]) -> dict[str, object]:
    try:
        return {"answer": work()}
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is told
        return {"failed": f"{type(error).__name__}: {error}"}
