"""One daemon per state directory, one install per inbox."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from orchestrator.domain.ids import InstallId
from orchestrator.service import lock

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOLD = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from orchestrator.service.lock import state_lock
with state_lock(Path(sys.argv[1]), datetime(2026, 1, 2, tzinfo=UTC)):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Return another process that holds the lock of the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_daemon_is_told_who_is_there(tmp_path, other):
    """The error names the folder, the pid and since when, and what to do."""
    with pytest.raises(lock.LockedOut) as caught, lock.state_lock(tmp_path, NOW):
        pass

    said = str(caught.value)
    assert f"{tmp_path}: another daemon works here (pid {other.pid}, since 2026-01-02" in said
    assert "stop it first" in said


def test_the_lock_dies_with_its_process(tmp_path, other):
    """After SIGKILL the folder is free at once."""
    other.send_signal(signal.SIGKILL)
    other.wait()

    with lock.state_lock(tmp_path, NOW):
        assert json.loads((tmp_path / lock.HOLDER_FILE).read_text())["pid"] == os.getpid()


def test_the_holder_can_be_asked_for_without_taking_the_lock(tmp_path, other):
    """`holder` tells who is there, and None when nobody is."""
    (free := tmp_path / "free").mkdir()

    held = lock.holder(tmp_path)

    assert held == lock.Holder(other.pid, "2026-01-02T00:00:00Z")
    assert lock.holder(free) is None


def test_the_lock_is_on_the_folder_itself(tmp_path):
    """Removing every file in the folder does not let a second daemon in."""
    with lock.state_lock(tmp_path, NOW):
        for file in tmp_path.iterdir():
            file.unlink()
        with pytest.raises(lock.LockedOut), lock.state_lock(tmp_path, NOW):
            pass


def test_children_do_not_inherit_the_lock(tmp_path):
    """A child that outlives the daemon does not keep the folder locked."""
    with lock.state_lock(tmp_path, NOW):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        with lock.state_lock(tmp_path, NOW):
            pass
    finally:
        child.communicate(b"\n")


def test_an_inbox_belongs_to_one_install(tmp_path):
    """The first install marks it, its next start finds itself, another one is refused."""
    inbox, state = tmp_path / "inbox", tmp_path / "state"
    inbox.mkdir()
    state.mkdir()
    ours, theirs = InstallId("a" * 16), InstallId("b" * 16)

    lock.own_inbox(inbox, ours, state)
    lock.own_inbox(inbox, ours, state)

    with pytest.raises(lock.ForeignInbox, match="give each daemon its own inbox"):
        lock.own_inbox(inbox, theirs, tmp_path / "other")


def test_a_copy_of_the_state_directory_is_foreign_too(tmp_path):
    """Two copies of one install would both pay; a moved one goes on."""
    inbox, state, copy = (tmp_path / name for name in ("inbox", "state", "copy"))
    for folder in (inbox, state, copy):
        folder.mkdir()
    install = InstallId("a" * 16)
    lock.own_inbox(inbox, install, state)

    with pytest.raises(lock.ForeignInbox, match="one of them is a copy"):
        lock.own_inbox(inbox, install, copy)
    state.rmdir()
    lock.own_inbox(inbox, install, copy)


def test_a_damaged_marker_is_made_anew(tmp_path):
    """A marker that says nothing belongs to nobody."""
    (tmp_path / lock.OWNER_FILE).write_bytes(b"\x00garbage")

    lock.own_inbox(tmp_path, InstallId("a" * 16), tmp_path / "state")

    assert "a" * 16 in (tmp_path / lock.OWNER_FILE).read_text()
