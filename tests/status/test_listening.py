import grp
import os
import socket
import stat
import subprocess
import sys

import pytest

from orchestrator.status.listening import PATH_BYTES_MAX, SocketRefused, listen, regroup


def test_the_socket_is_for_its_owner_and_group_whatever_the_umask(short):
    """Its mode is 0660 under any umask, and there is no moment at which it was wider."""
    before = os.umask(0)
    try:
        for umask in (0, 0o022, 0o077, 0o777):
            os.umask(umask)
            listening = listen(short / "s", None)
            assert stat.S_IMODE(os.lstat(short / "s").st_mode) == 0o660
            listening.close()
    finally:
        os.umask(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file to any group")
def test_a_socket_changes_its_group_while_it_is_listened_on(short):
    """A reload may name another group: the socket is the same, and nobody is cut off."""
    listening = listen(short / "s", None)
    wanted = next(group for group in grp.getgrall() if group.gr_gid != os.getegid())

    regroup(short / "s", wanted.gr_name)
    given = os.lstat(short / "s")
    with pytest.raises(SocketRefused, match="there is no group 'no-such-group'; create it"):
        regroup(short / "s", "no-such-group")
    regroup(short / "s", None)
    back = os.lstat(short / "s").st_gid
    listening.close()

    assert (given.st_gid, given.st_ino) == (wanted.gr_gid, listening.inode)
    assert (stat.S_IMODE(given.st_mode), back) == (0o660, os.getegid())


def test_a_dead_socket_of_ours_is_replaced(short):
    """What a killed daemon leaves behind does not stop the next one."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(short / "s"))
    dead.close()

    with socket.socket(socket.AF_UNIX) as client:
        listening = listen(short / "s", None)
        client.connect(str(short / "s"))
        listening.close()

    assert not (short / "s").exists()


def test_a_live_socket_is_never_taken(short):
    """Somebody who listens goes on listening, and we say so."""
    with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX) as client:
        alive.bind(str(short / "s"))
        alive.listen()

        with pytest.raises(SocketRefused, match=r"somebody is listening on .*; stop"):
            listen(short / "s", None)
        client.connect(str(short / "s"))


def test_a_live_socket_with_a_full_backlog_is_alive(short):
    """That nobody accepts at the moment does not make a socket dead."""
    with socket.socket(socket.AF_UNIX) as alive, socket.socket(socket.AF_UNIX) as client:
        alive.bind(str(short / "s"))
        alive.listen(0)
        client.connect(str(short / "s"))

        with pytest.raises(SocketRefused, match="somebody is listening"):
            listen(short / "s", None)


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        ("file", "a file"),
        ("folder", "a folder"),
        ("link", "a symbolic link"),
        ("fifo", "something"),
    ],
)
def test_what_is_no_socket_is_left_alone(short, thing, words):
    """A file, a folder, a link or anything else at the path is refused and stays as it is."""
    path = short / "s"
    match thing:
        case "file":
            path.write_text("precious")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(short / "elsewhere")
        case _:
            os.mkfifo(path)
    before = os.lstat(path)

    with pytest.raises(SocketRefused, match=rf"{words}.*; move it away or change service.socket"):
        listen(path, None)

    assert os.lstat(path).st_ino == before.st_ino
    assert not (short / "elsewhere").exists()


def test_a_path_that_is_too_long_is_said(short):
    """107 bytes are fine, 108 are refused with both numbers."""
    fits = short / ("x" * (PATH_BYTES_MAX - len(str(short)) - 1))
    listen(fits, None).close()

    with pytest.raises(SocketRefused, match="has 108 bytes and may have 107"):
        listen(fits.with_name(fits.name + "x"), None)


def test_what_cannot_be_made_is_said(short):
    """A folder or a group that is not there is an error with the setting to change."""
    with pytest.raises(SocketRefused, match=r"service\.socket"):
        listen(short / "missing" / "s", None)
    with pytest.raises(SocketRefused, match=r"service\.socket_group"):
        listen(short / "s", "no-such-group-anywhere")
    (short / "file").write_text("")
    with pytest.raises(SocketRefused, match=r"service\.socket"):
        listen(short / "file" / "s", None)


def test_somebody_elses_socket_is_not_removed_at_the_end(short):
    """When the file at the path is no longer the one we made, it stays."""
    listening = listen(short / "s", None)
    (short / "s").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(short / "s"))
        listening.close()
        assert (short / "s").is_socket()

    listen(short / "s", None).close()
    again = listen(short / "s", None)
    (short / "s").unlink()
    again.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another group")
def test_the_socket_is_given_to_its_group(short):
    """`socket_group` owns the socket."""
    import grp

    group = grp.getgrnam("daemon")

    listening = listen(short / "s", "daemon")

    assert os.lstat(short / "s").st_gid == group.gr_gid
    listening.close()


AS_NOBODY = """
import os, sys
from pathlib import Path
from orchestrator.status.listening import SocketRefused, listen
os.setgroups([]); os.setgid(65534); os.setuid(65533)
try:
    listen(Path(sys.argv[1]), sys.argv[2] or None)
except SocketRefused as refused:
    print(refused)
"""


def as_nobody(path, group=""):
    command = [sys.executable, "-c", AS_NOBODY, str(path), group]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_socket_of_another_user_is_left_alone(short):
    """A dead socket that belongs to somebody else is refused, and so is a group not ours."""
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(short / "s"))
    dead.close()
    folder = short / "open"
    folder.mkdir()
    folder.chmod(0o777)

    assert "belongs to uid 0; remove it" in as_nobody(short / "s")
    assert "may not give the socket" in as_nobody(folder / "s", "daemon")
    assert (short / "s").is_socket()
    assert not list(folder.iterdir())
