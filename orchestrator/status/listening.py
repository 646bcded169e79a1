"""The socket file: made without ever taking over a live one, and removed only while it is ours.

The caller holds the lock of the state directory, so a dead socket of this user at the path is our
own earlier life's. Trouble: whatever else lies there is left alone and said (`SocketRefused`).
"""

import errno
import grp
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

PATH_BYTES_MAX = 107  # sun_path holds 108 with the closing zero
MODE = 0o660
BACKLOG = 1024


class SocketRefused(Exception):
    """The socket cannot be made here. The message says what is in the way and what to do."""


@dataclass(frozen=True, slots=True)
class Listening:
    """A bound socket and the identity of its file."""

    socket: socket.socket
    path: Path
    device: int
    inode: int

    def close(self) -> None:
        """Close, and remove the file if it is still the one that was made."""
        self.socket.close()
        try:
            there = os.lstat(self.path)
        except FileNotFoundError:
            return
        if (there.st_dev, there.st_ino) == (self.device, self.inode):
            self.path.unlink()


def listen(path: Path, group: str | None) -> Listening:
    """Bind a socket at `path`, readable and writable for its owner and group only.

    `group` is a group's name; None leaves the process's own. Raises SocketRefused.
    """
    gid = _gid(group)
    _check_length(path)
    _remove_dead(path)
    end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        return _bind(end, path, gid)
    except SocketRefused:
        end.close()
        raise
    except OSError as error:
        end.close()
        raise SocketRefused(
            f"cannot make the socket {path}: {error.strerror}; set service.socket to a path in a "
            "folder that the daemon may write to"
        ) from error


def regroup(path: Path, group: str | None) -> None:
    """Give a bound socket to another group; None is the process's own. Raises SocketRefused."""
    gid = os.getegid() if group is None else _gid(group)
    try:
        os.chown(path, -1, gid, follow_symlinks=False)
    except OSError as error:
        raise SocketRefused(
            f"may not give the socket {path} to group {gid}: {error.strerror}; add the daemon's "
            "user to that group or change service.socket_group"
        ) from error


def _bind(end: socket.socket, path: Path, gid: int) -> Listening:
    os.fchmod(end.fileno(), MODE)  # before bind: the file never exists with a wider mode
    end.bind(os.fspath(path))
    _admit(path, gid)
    there = os.lstat(path)
    end.setblocking(False)  # noqa: FBT003 - the socket's own signature
    end.listen(BACKLOG)
    return Listening(end, path, there.st_dev, there.st_ino)


def _admit(path: Path, gid: int) -> None:
    path.chmod(MODE)  # the umask may have taken the group's part away
    if gid == -1:
        return  # nothing to ask for: a sandbox may forbid even a chown that changes nothing
    try:
        os.chown(path, -1, gid, follow_symlinks=False)
    except PermissionError as error:
        path.unlink()
        raise SocketRefused(
            f"may not give the socket {path} to group {gid}; add the daemon's user to that group "
            "or change service.socket_group"
        ) from error


def _gid(group: str | None) -> int:
    if group is None:
        return -1
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SocketRefused(
            f"there is no group {group!a}; create it or change service.socket_group"
        ) from error


def _check_length(path: Path) -> None:
    length = len(os.fsencode(path))
    if length > PATH_BYTES_MAX:
        raise SocketRefused(
            f"the socket's path has {length} bytes and may have {PATH_BYTES_MAX}: {path}; "
            "set service.socket to a shorter one"
        )


def _remove_dead(path: Path) -> None:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SocketRefused(
            f"cannot look at {path}: {error.strerror}; correct service.socket"
        ) from error
    if not stat.S_ISSOCK(there.st_mode):
        raise SocketRefused(
            f"{path} is {_kind(there.st_mode)}, not a socket; move it away or change service.socket"
        )
    if there.st_uid != os.geteuid():
        raise SocketRefused(
            f"the socket {path} belongs to uid {there.st_uid}; remove it or change service.socket"
        )
    if _is_alive(path):
        raise SocketRefused(
            f"somebody is listening on {path}; stop that process or change service.socket"
        )
    path.unlink()


def _is_alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # noqa: FBT003 - a full backlog must not make us wait
        return probe.connect_ex(os.fspath(path)) != errno.ECONNREFUSED


def _kind(mode: int) -> str:
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link"}
    return kinds.get(stat.S_IFMT(mode), "something else")
