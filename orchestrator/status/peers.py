"""Who is at the other end of the socket, as the kernel says.

Reading is decided by the socket's mode and group; the peer is only written down. Changing is for
the daemon's own user and root. Within a user namespace (PrivateUsers=yes) every foreign user reads
as 65534, which is nobody in particular and so never allowed.
"""

import os
import socket
import struct
from asyncio import BaseTransport
from dataclasses import dataclass

OVERFLOW_UID = 65534
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as it was then. `pid` is 0 when it lives in another namespace."""

    pid: int
    uid: int

    @property
    def may_order(self) -> bool:
        """Whether it may change anything."""
        return self.uid in {0, os.geteuid()} and self.uid != OVERFLOW_UID


def peer_of(transport: BaseTransport | None) -> Peer | None:
    """Return who is at the other end, None if it has hung up."""
    if transport is None:
        return None
    end = transport.get_extra_info("socket")
    if end is None or end.fileno() < 0:
        return None
    raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return Peer(pid, uid)
