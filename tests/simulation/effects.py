"""Every effect of the simulated daemon on its world, numbered, and a death at any of them.

An effect has two moments: before it is done, and after (it happened, and nobody heard). Counted
are transactions of the ledger, effects on folders, and what is sent to and answered by the
provider. Reads are not counted: dying at one is dying after the effect before it.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tests.simulation.process import Killed, Process, current

Death: TypeAlias = Literal["killed", "power cut"]
QUIET_METHODS = (b"GET ", b"HEAD ")
WORK_NAME = re.compile("-[a-z2-7]{10}$")  # of a drop's inode and times: others in each run


@dataclass(frozen=True)
class Struck:
    """Where a process died."""

    moment: int
    label: str
    death: Death


class Effects:
    """Counts moments and ends the process at those that the plan names.

    `deaths` maps a moment's number, counted over all lives of the world, to how it ends there.
    """

    def __init__(self, deaths: Mapping[int, Death], time: Callable[[], float]) -> None:
        self.deaths = dict(deaths)
        self.moments = 0
        self.struck: list[Struck] = []
        self.labels: list[str] = []
        self._time = time
        self._trace = hashlib.sha256()
        self._asking: dict[str, bool] = {}

    @property
    def trace(self) -> str:
        """A digest of everything that happened, and when."""
        return self._trace.hexdigest()

    def note(self, label: str) -> None:
        """Add something to the trace."""
        self._trace.update(f"{self._time():.9f} {label}\n".encode(errors="surrogateescape"))

    def moment(self, label: str, process: Process | None = None) -> None:
        """Count a moment of the running process; it may be its last."""
        process = process or current()
        if process is None:
            return
        process.check()
        self.moments += 1
        self.labels.append(label)
        self.note(label)
        death = self.deaths.get(self.moments)
        if death is not None:
            self.struck.append(Struck(self.moments, label, death))
            process.kill()
            raise Killed(label)

    def folder(self, moment: str, verb: str, path: Path) -> None:
        """Hear of an effect on a folder (an observer of `atomic`)."""
        if current() is not None:
            self.moment(f"{moment} {verb} {WORK_NAME.sub('', path.name)}")

    def sending(self, connection: str, data: bytes) -> None:
        """Hear of bytes on their way to the provider; only a request's first piece counts."""
        head = data[:200].split(b"\r\n", 1)[0]
        if not head.endswith(b"HTTP/1.1"):
            return
        self._asking[connection] = not data.startswith(QUIET_METHODS)
        line = head.decode("latin-1").split(" ")
        self.note(f"asks {line[0]} {_without_query(line[1])}")
        if self._asking[connection]:
            self.moment(f"before {line[0]} {_without_query(line[1])}")

    def answering(self, connection: str, data: bytes, process: Process | None) -> bool:
        """Hear of bytes on their way back; True when the asker died and will not hear them."""
        if not data.startswith(b"HTTP/1.1 "):
            return False
        status = data[9:12].decode("latin-1")
        self.note(f"answers {status}")
        if process is None or not process.alive or not self._asking.pop(connection, False):
            return False
        try:
            self.moment(f"after answer {status}", process)
        except Killed:
            return True
        return False


def _without_query(target: str) -> str:
    return target.partition("?")[0]
