"""A file system that forgets whatever was not synced: contents, and the names in folders too.

It speaks the kernel's FUSE protocol itself, so nothing but root is needed. A file's content is
durable as of its last fsync, a folder's names as of the last fsync of the folder; nothing else
survives a cut. `strictdisk` mounts it.

What it cannot tell: `syncfs`, of which the kernel sends a FUSE file system nothing.
"""

import errno
import stat
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

ROOT = 1
FOREVER = 1 << 30  # seconds for which the kernel may believe what it was told: nobody else writes
WRITE_BYTES_MAX = 1 << 17

_ASKED = struct.Struct("=IIQQIIII")  # length, opcode, unique, node, uid, gid, pid, padding
_ANSWER = struct.Struct("=IiQ")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY = struct.Struct("=QQQQII")
_SETATTR = struct.Struct("=IIQQQQQQIIIIIIII")
_MODE, _UID, _GID, _SIZE, _MTIME, _MTIME_NOW = 1, 2, 4, 8, 32, 256
_NOREPLACE = 1


@dataclass
class Node:
    """A file or a folder: what the kernel shows, and what is durable of it."""

    mode: int
    uid: int
    gid: int
    data: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    durable_data: bytes = b""
    durable_names: dict[bytes, int] = field(default_factory=dict)
    links: int = 1
    changed_ns: int = field(default_factory=time.time_ns)
    modified_ns: int = field(default_factory=time.time_ns)


class Memory:
    """All nodes by their numbers, which are never used twice."""

    def __init__(self) -> None:
        self.nodes = {ROOT: Node(stat.S_IFDIR | 0o755, 0, 0)}
        self._last = ROOT

    def add(self, folder: int, name: bytes, node: Node) -> int:
        """Put a new node into a folder."""
        self._last += 1
        self.nodes[self._last] = node
        self.nodes[folder].names[name] = self._last
        return self._last

    def sync(self, number: int) -> None:
        """Make a file's content, or a folder's names, durable."""
        node = self.nodes[number]
        node.durable_data, node.durable_names = bytes(node.data), dict(node.names)

    def settle(self) -> None:
        """Make everything durable as it stands."""
        for number in self.nodes:
            self.sync(number)

    def cut(self) -> None:
        """Forget what is not durable."""
        left: dict[int, Node] = {}
        links: dict[int, int] = {}
        waiting = [ROOT]
        while waiting:
            number = waiting.pop()
            links[number] = links.get(number, 0) + 1
            if number in left:
                continue
            node = left[number] = self.nodes[number]
            node.data, node.names = bytearray(node.durable_data), dict(node.durable_names)
            waiting += node.names.values()
        for number, node in left.items():
            node.links = links[number]
        self.nodes = left


class Server:
    """Answers the kernel: one method for each thing that it asks for, by the opcode."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._verbs: dict[int, Callable[[int, bytes], bytes]] = {
            1: self._lookup,
            3: self._getattr,
            4: self._setattr,
            9: self._mkdir,
            10: self._unlink,
            11: self._rmdir,
            12: self._rename,
            13: self._link,
            14: self._open,
            15: self._read,
            16: self._write,
            17: self._statfs,
            20: self._fsync,
            26: self._init,
            27: self._open,
            28: self._readdir,
            30: self._fsync,
            35: self._create,
            43: self._fallocate,
            45: self._rename2,
            **dict.fromkeys((18, 25, 29, 38), self._fine),  # release, flush, destroy
        }

    def answer(self, asked: bytes) -> bytes | None:
        """Return what the kernel is told, None where it waits for nothing."""
        _, opcode, unique, node, self._uid, self._gid, _, _ = _ASKED.unpack_from(asked)
        if opcode in (2, 36, 42):  # forget, interrupt
            return None
        try:
            said = self._verbs.get(opcode, _unknown)(node, asked[_ASKED.size :])
        except OSError as error:
            return _ANSWER.pack(_ANSWER.size, -(error.errno or errno.EIO), unique)
        return _ANSWER.pack(_ANSWER.size + len(said), 0, unique) + said

    # ---- names --------------------------------------------------------------------------------

    def _lookup(self, folder: int, asked: bytes) -> bytes:
        return self._entry(self._named(folder, asked.rstrip(b"\0")))

    def _mkdir(self, folder: int, asked: bytes) -> bytes:
        mode, umask = struct.unpack_from("=II", asked)
        node = Node(stat.S_IFDIR | (mode & ~umask & 0o7777), self._uid, self._gid)
        return self._entry(self._new(folder, asked[8:].rstrip(b"\0"), node))

    def _create(self, folder: int, asked: bytes) -> bytes:
        _, mode, umask, _ = struct.unpack_from("=IIII", asked)
        node = Node(stat.S_IFREG | (mode & ~umask & 0o7777), self._uid, self._gid)
        return self._entry(self._new(folder, asked[16:].rstrip(b"\0"), node)) + bytes(16)

    def _unlink(self, folder: int, asked: bytes) -> bytes:
        name = asked.rstrip(b"\0")
        self._node(self._named(folder, name)).links -= 1
        del self._node(folder).names[name]
        return b""

    def _rmdir(self, folder: int, asked: bytes) -> bytes:
        name = asked.rstrip(b"\0")
        if self._node(self._named(folder, name)).names:
            raise OSError(errno.ENOTEMPTY, "not empty")
        del self._node(folder).names[name]
        return b""

    def _rename(self, folder: int, asked: bytes) -> bytes:
        (target,) = struct.unpack_from("=Q", asked)
        return self._move(folder, target, asked[8:], flags=0)

    def _rename2(self, folder: int, asked: bytes) -> bytes:
        target, flags, _ = struct.unpack_from("=QII", asked)
        return self._move(folder, target, asked[16:], flags)

    def _move(self, folder: int, target: int, names: bytes, flags: int) -> bytes:
        old, new, *_ = names.split(b"\0")
        number, taken = self._named(folder, old), self._node(target).names.get(new)
        if flags & ~_NOREPLACE:
            raise OSError(errno.EINVAL, "no such way to rename")
        if taken is not None and flags & _NOREPLACE:
            raise OSError(errno.EEXIST, "taken")
        if taken == number:
            return b""
        if taken is not None:
            if self._node(taken).names:
                raise OSError(errno.ENOTEMPTY, "not empty")
            self._node(taken).links -= 1
        del self._node(folder).names[old]
        self._node(target).names[new] = number
        return b""

    def _link(self, folder: int, asked: bytes) -> bytes:
        (number,) = struct.unpack_from("=Q", asked)
        name = asked[8:].rstrip(b"\0")
        if name in self._node(folder).names:
            raise OSError(errno.EEXIST, "taken")
        self._node(folder).names[name] = number
        self._node(number).links += 1
        return self._entry(number)

    def _readdir(self, folder: int, asked: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", asked)
        told = b""
        entries = [(b".", folder), (b"..", folder), *self._node(folder).names.items()]
        for place, (name, number) in enumerate(entries[offset:], offset + 1):
            kind = stat.S_IFMT(self._node(number).mode) >> 12
            one = struct.pack("=QQII", number, place, len(name), kind) + name
            one += bytes(-len(one) % 8)
            if len(told) + len(one) > size:
                break
            told += one
        return told

    # ---- contents -----------------------------------------------------------------------------

    def _open(self, _node: int, _asked: bytes) -> bytes:
        return bytes(16)

    def _read(self, number: int, asked: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", asked)
        return bytes(self._node(number).data[offset : offset + size])

    def _write(self, number: int, asked: bytes) -> bytes:
        _, offset, size = struct.unpack_from("=QQI", asked)
        node, data = self._node(number), asked[40 : 40 + size]
        node.data.extend(bytes(max(0, offset - len(node.data))))
        node.data[offset : offset + size] = data
        node.modified_ns = node.changed_ns = time.time_ns()
        return struct.pack("=II", size, 0)

    def _fallocate(self, number: int, asked: bytes) -> bytes:
        _, offset, length, mode = struct.unpack_from("=QQQI", asked)
        node = self._node(number)
        if mode:
            raise OSError(errno.EOPNOTSUPP, "only to make it longer")
        node.data.extend(bytes(max(0, offset + length - len(node.data))))
        return b""

    def _fsync(self, number: int, _asked: bytes) -> bytes:
        self.memory.sync(number)
        return b""

    # ---- attributes ---------------------------------------------------------------------------

    def _getattr(self, number: int, _asked: bytes) -> bytes:
        return struct.pack("=QII", FOREVER, 0, 0) + self._attributes(number)

    def _setattr(self, number: int, asked: bytes) -> bytes:
        told = _SETATTR.unpack(asked)
        valid, size, mtime, mtime_ns = told[0], told[3], told[6], told[9]
        mode, uid, gid = told[11], told[13], told[14]
        node = self._node(number)
        if valid & _MODE:
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        node.uid = uid if valid & _UID else node.uid
        node.gid = gid if valid & _GID else node.gid
        if valid & _SIZE:
            del node.data[size:]
            node.data.extend(bytes(size - len(node.data)))
            node.modified_ns = time.time_ns()
        if valid & _MTIME:
            given = mtime * 10**9 + mtime_ns
            node.modified_ns = time.time_ns() if valid & _MTIME_NOW else given
        node.changed_ns = time.time_ns()
        return self._getattr(number, b"")

    def _statfs(self, _node: int, _asked: bytes) -> bytes:
        return struct.pack("=QQQQQIIII", *(1 << 22,) * 5, 4096, 255, 4096, 0) + bytes(24)

    def _init(self, _node: int, asked: bytes) -> bytes:
        major, minor, readahead, _ = struct.unpack_from("=IIII", asked)
        told = struct.pack(
            "=IIIIHHIIHH", major, min(minor, 31), readahead, 0, 12, 9, WRITE_BYTES_MAX, 1, 32, 0
        )
        return told + bytes(64 - len(told))

    def _fine(self, _node: int, _asked: bytes) -> bytes:
        return b""

    # ---- nodes --------------------------------------------------------------------------------

    def _node(self, number: int) -> Node:
        return self.memory.nodes[number]

    def _named(self, folder: int, name: bytes) -> int:
        try:
            return self._node(folder).names[name]
        except KeyError:
            raise OSError(errno.ENOENT, "not here") from None

    def _new(self, folder: int, name: bytes, node: Node) -> int:
        if name in self._node(folder).names:
            raise OSError(errno.EEXIST, "taken")
        return self.memory.add(folder, name, node)

    def _entry(self, number: int) -> bytes:
        return _ENTRY.pack(number, 0, FOREVER, FOREVER, 0, 0) + self._attributes(number)

    def _attributes(self, number: int) -> bytes:
        node = self._node(number)
        modified, changed = divmod(node.modified_ns, 10**9), divmod(node.changed_ns, 10**9)
        whole, parts = zip(modified, modified, changed, strict=True)
        size = len(node.data)
        rest = (node.mode, max(node.links, 0), node.uid, node.gid, 0, 4096, 0)
        return _ATTRIBUTES.pack(number, size, -(-size // 512), *whole, *parts, *rest)


def _unknown(_node: int, _asked: bytes) -> bytes:
    raise OSError(errno.ENOSYS, "not spoken here")
