"""Talking to systemd: sd_notify over its datagram socket, and the watchdog's pace.

Trouble: a message that cannot be sent is reported by `False`; only the service manager would
have read it, and it draws its own conclusions (the start times out, the watchdog bites).
"""

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.service.printable import printable

STATUS_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class Notifier:
    """Sends state changes to the service manager; without one it does nothing.

    `address` is a path, or a name in the abstract namespace that begins with NUL.
    """

    address: str | None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Notifier":
        """Find the manager's socket: $NOTIFY_SOCKET, a path or an abstract name (`@…`)."""
        given = environ.get("NOTIFY_SOCKET", "")
        if given.startswith("@"):
            return cls("\0" + given[1:])
        return cls(given if given.startswith("/") else None)

    def ready(self, status: str) -> bool:
        """Say that the service does its work from now on."""
        return self._send("READY=1", _status(status))

    def status(self, text: str) -> bool:
        """Say in one line what the service is doing (`systemctl status` shows it)."""
        return self._send(_status(text))

    def watchdog(self) -> bool:
        """Say that the service is alive. Only where it is, so never from a thread of its own."""
        return self._send("WATCHDOG=1")

    def reloading(self) -> bool:
        """Say that the settings are read again; `ready` says that this is done."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> bool:
        """Say that the service has begun to stop."""
        return self._send("STOPPING=1", _status(status))

    def extend(self, duration: timedelta) -> bool:
        """Ask for more time to start or stop, as for a long migration."""
        return self._send(f"EXTEND_TIMEOUT_USEC={int(duration.total_seconds() * 1_000_000)}")

    def _send(self, *lines: str) -> bool:
        if self.address is None:
            return True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(0)
            try:
                out.sendto("\n".join(lines).encode("utf-8", "replace"), self.address)
            except OSError:
                return False
        return True


def watchdog_pace(environ: Mapping[str, str], pid: int) -> timedelta | None:
    """Return how often the watchdog wants to hear of process `pid`; None if there is none.

    A third of its patience, so that one late message does not end the service.
    """
    usec, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (whose and whose != str(pid)):
        return None
    return timedelta(microseconds=int(usec)) / 3


def _status(text: str) -> str:
    return f"STATUS={printable(text)[:STATUS_CHARACTERS_MAX]}"
