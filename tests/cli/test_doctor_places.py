"""`doctor` finds places that cannot be used, also where it may not even look."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from orchestrator.daemon.identity import check_machine
from orchestrator.service.host import machine_id
from tests.cli.findings import one

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")


@pytest.fixture
def place(monkeypatch):
    """Return a function that sets a place in [service]."""

    def set_place(name, value):
        monkeypatch.setenv(f"ORCHESTRATOR_SERVICE__{name.upper()}", str(value))

    return set_place


@pytest.fixture
def nobody(found, place):
    """Return a home that everybody may look into, and a function that lets nobody be the doctor."""
    home = Path(tempfile.mkdtemp(prefix="orchestrator-nobody-"))
    home.chmod(0o755)
    (home / "s").mkdir(0o700)
    os.chown(home / "s", NOBODY, NOBODY)
    place("state_dir", home / "s")

    def look():
        found("--offline")  # what root imports is there when another user asks
        groups = os.getgroups()
        os.setgroups([])
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            return found("--offline")
        finally:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(groups)

    yield home, look
    shutil.rmtree(home)


def test_a_missing_folder_for_the_socket_is_found(found, place, home):
    """The daemon makes no folder for its socket, so somebody has to."""
    place("socket", home / "run" / "orchestrator.sock")

    finding = one(found("--offline"), "socket", "fail")

    assert f"there is no folder {home / 'run'}" in finding["said"]
    assert f"mkdir {home / 'run'}" in finding["remedy"]


def test_the_socket_in_a_state_directory_that_will_be_made_is_no_trouble(found, home):
    """The usual place needs nothing before the first start."""
    shutil.rmtree(home / "s")

    assert "is free" in one(found("--offline"), "socket", "ok")["said"]


def test_a_state_directory_of_another_machine_is_found(found, home):
    """The daemon refuses to start in a copy, since both would pay; so says the doctor."""
    (home / "s" / "machine").write_text("another-machine\n")

    finding = one(found("--offline"), "machine", "fail")

    assert finding["said"] == f"{home / 's'}: belongs to another machine"
    assert f"remove {home / 's' / 'machine'}" in finding["remedy"]


def test_a_state_directory_of_this_machine_is_well_and_one_of_none_stays_so(found, home):
    """Whose the folder is, the doctor only reads: the first start says it."""
    file = home / "s" / "machine"

    assert "at the first start" in one(found("--offline"), "machine", "ok")["said"]
    assert not file.exists()
    check_machine(file.parent, machine_id())
    assert "this machine" in one(found("--offline"), "machine", "ok")["said"]


def test_an_unknown_group_of_the_socket_is_found(found, place):
    """The daemon would refuse to start without that group."""
    place("socket_group", "no-such-group")

    finding = one(found("--offline"), "socket", "fail")

    assert finding["said"] == "there is no group 'no-such-group'"
    assert "groupadd no-such-group" in finding["remedy"]


def test_a_missing_folder_for_the_database_is_found(found, place, home):
    """SQLite makes files, not folders."""
    place("database", f"sqlite+aiosqlite:///{home}/elsewhere/ledger.db")

    finding = one(found("--offline"), "ledger", "fail")

    assert f"there is no folder {home}/elsewhere" in finding["said"]
    assert f"mkdir -p {home}/elsewhere" in finding["remedy"]


@pytest.mark.parametrize("inbox", ["/proc/inbox", "/proc", "/sys/fs/inbox"])
def test_a_folder_of_the_kernels_is_no_inbox(found, place, inbox):
    """What looks like a folder and keeps no files is found, whoever asks."""
    place("inbox", inbox)

    finding = one(found("--offline"), "folder inbox", "fail")

    assert "is no place for files" in finding["said"]
    assert "set service.inbox" in finding["remedy"]


def test_a_file_in_the_place_of_a_parent_is_found(found, place, home):
    """A path that leads through a file can never become a folder."""
    (home / "file").write_text("")
    place("outbox", home / "file" / "outbox")

    finding = one(found("--offline"), "folder outbox", "fail")

    assert finding["remedy"] == f"move {home / 'file'} away"


@pytest.mark.parametrize("name", ["a: b", "keys"])
def test_a_key_file_is_named_whole(found, monkeypatch, home, name):
    """A message is parted where its remedy begins, not at a colon of a path."""
    monkeypatch.setenv("ORCHESTRATOR_GEMINI__API_KEY_FILE", str(home / name))

    finding = one(found(), "key", "fail")

    assert finding["said"] == f"{home / name}: there is no such file"
    assert finding["remedy"] == "put the API key there"


@as_root
def test_folders_that_another_user_may_not_write_are_found(nobody, place):
    """Each place that is not ours to write fails, with whom to give it to."""
    home, look = nobody
    theirs = home / "theirs"
    theirs.mkdir(0o755)
    place("inbox", theirs)
    place("outbox", theirs / "outbox")
    place("socket", theirs / "socket")
    place("database", f"sqlite+aiosqlite:///{theirs}/ledger.db")

    findings = look()

    assert "cannot be written" in one(findings, "folder inbox", "fail")["said"]
    assert f"{theirs} is not ours" in one(findings, "folder outbox", "fail")["said"]
    assert "not ours to write" in one(findings, "socket", "fail")["said"]
    assert "not ours to write" in one(findings, "ledger", "fail")["said"]
    assert "chown" in one(findings, "ledger", "fail")["remedy"]
    assert one(findings, "folder state_dir", "ok")


@as_root
def test_what_another_user_may_not_even_look_at_is_no_crash(nobody, place):
    """Behind a closed door nothing can be seen; that is said, with whom to ask as."""
    home, look = nobody
    closed = home / "closed"
    closed.mkdir(0o700)
    (closed / "inbox").mkdir()
    (closed / "ledger.db").write_bytes(b"x")
    place("inbox", closed / "inbox")
    place("socket", closed / "socket")
    place("database", f"sqlite+aiosqlite:///{closed}/ledger.db")

    findings = look()

    for check in ("folder inbox", "socket", "ledger"):
        assert one(findings, check, "fail")["remedy"]
    assert "sudo -u" in one(findings, "folder inbox", "fail")["remedy"]


@as_root
def test_a_group_that_the_user_is_not_in_is_found(nobody, place):
    """A socket can be given only to a group of the daemon's own."""
    _, look = nobody
    place("socket_group", "daemon")

    finding = one(look(), "socket", "fail")

    assert "this user is not in it" in finding["said"]
