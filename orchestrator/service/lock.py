"""One daemon per state directory, one install per inbox.

Trouble: `Occupied` stops us before anything was touched; both its kinds say who is there and what
to do. The lock is on the directory itself, so it goes when the process does, however it ends.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.domain.ids import InstallId
from orchestrator.domain.moments import written

HOLDER_FILE = ".orchestrator-holder"
OWNER_FILE = ".orchestrator-owner"
MARKER_BYTES_MAX = 4096


class Occupied(Exception):
    """Somebody else works here; the message says who and what to do."""


class LockedOut(Occupied):
    """Another daemon holds the state directory."""


class ForeignInbox(Occupied):
    """The inbox belongs to another install."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a state directory, as far as it said so."""

    pid: int
    since: str


@contextmanager
def state_lock(state_dir: Path, now: datetime) -> Iterator[None]:
    """Hold the state directory for as long as the context lasts. Raises LockedOut."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedOut(_locked_out(state_dir)) from None
        holder = {"pid": os.getpid(), "since": written(now.replace(microsecond=0))}
        _write(state_dir, HOLDER_FILE, holder)
        yield
    finally:
        os.close(folder)


def holder(state_dir: Path) -> Holder | None:
    """Tell who holds the state directory now; None if nobody does."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = _read(state_dir / HOLDER_FILE)
        return Holder(int(said.get("pid", "0")), said.get("since", "unknown"))
    else:
        return None
    finally:
        os.close(folder)


def own_inbox(inbox: Path, install: InstallId, state_dir: Path) -> None:
    """Mark the inbox as ours, or find that it is. Raises ForeignInbox.

    A copy of our state directory is as foreign as another install: both would submit and pay.
    """
    mine = {"install": str(install), "state_dir": str(state_dir)}
    marker = inbox / OWNER_FILE
    said = _read(marker)
    if said == mine:
        return
    advice = f"give each daemon its own inbox; if the other is gone for good, remove {marker}"
    if said and said.get("install") != mine["install"]:
        raise ForeignInbox(f"{inbox}: belongs to the install in {said.get('state_dir')}; {advice}")
    if said and Path(said.get("state_dir", "")).is_dir():
        twin = f"this install also lives in {said['state_dir']}, so one of them is a copy"
        raise ForeignInbox(f"{inbox}: {twin}; {advice}")
    _write(inbox, OWNER_FILE, mine)


def _locked_out(state_dir: Path) -> str:
    said = _read(state_dir / HOLDER_FILE)
    who = f"pid {said['pid']}, since {said.get('since')}" if "pid" in said else "of unknown pid"
    advice = "stop it first, or name another folder as service.state_dir"
    return f"{state_dir}: another daemon works here ({who}); {advice}"


def _read(file: Path) -> dict[str, str]:
    try:
        with file.open("rb") as stream:
            said = json.loads(stream.read(MARKER_BYTES_MAX))
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}


def _write(folder: Path, name: str, content: dict[str, object] | dict[str, str]) -> None:
    temporary = folder / f"{name}.tmp"
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps(content) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
