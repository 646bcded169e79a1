"""What the machine withholds for a while: descriptors, disks to write on, room for the ledger.

While it lasts nothing new begins and the status says so; every second it is looked whether it is
over. A few descriptors are kept back and given up when there are no others, so that the status can
be asked for all the same.
"""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.daemon.conditions import DESCRIPTORS, READ_ONLY, SPACE
from orchestrator.service import host
from orchestrator.store.errors import LedgerDenied, LedgerFull

RESERVE = 8
LEDGER = "ledger"
TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})


@dataclass(slots=True)
class Weather:
    """Knows what passes by itself, and shows it through `troubled` (None: it is over).

    `folders` are those without which no answer can be kept, `inbox` beside them only stops the
    intake. `over` is called when something is well again, so that what failed is tried at once.
    """

    folders: Sequence[Path]
    inbox: Path
    troubled: Callable[[str, str, str | None], None]
    over: Callable[[], None] = lambda: None
    full: bool = False
    _kept: list[int] = field(default_factory=list)
    _short: str | None = None
    _read_only: dict[Path, str] = field(default_factory=dict)

    def passes(self, error: Exception) -> bool:
        """Tell whether this error is the machine's and passes by itself; then it is shown."""
        number = getattr(error, "errno", None)
        if number in TOO_MANY:
            self._give_up(os.strerror(number))
        elif isinstance(error, LedgerFull):
            self.full = True
            self.troubled(SPACE, LEDGER, str(error))
        elif isinstance(error, LedgerDenied):
            self._look_for_descriptors()
            self._look_at_disks(host.refuses_files)
            return bool(self._short or self._read_only)
        elif number == errno.EROFS:
            self._look_at_disks(host.refuses_files)
            return bool(self._read_only)
        else:
            return False
        return True

    def recorded(self) -> None:
        """Note that the ledger could be written again."""
        if self.full:
            self.full = False
            self.troubled(SPACE, LEDGER, None)
            self.over()

    def obstacle(self) -> str | None:
        """Tell why nothing new may begin now, None if it may."""
        disks = (why for folder, why in self._read_only.items() if folder != self.inbox)
        full = "the ledger's disk is full" if self.full else None
        return self._short or full or next(disks, None)

    def look(self) -> None:
        """See what has begun and what is over; to be called every second."""
        self._look_for_descriptors()
        # By its flag, and by trying: what failed may be read-only without the flag of a mount.
        self._look_at_disks(host.refuses_files if self._read_only else host.is_read_only)

    def close(self) -> None:
        """Let go of what was kept back."""
        while self._kept:
            os.close(self._kept.pop())

    # ---- descriptors --------------------------------------------------------------------------

    def _look_for_descriptors(self) -> None:
        try:
            while len(self._kept) <= RESERVE:  # one more than is kept: others need some, too
                self._kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in TOO_MANY:
                self._give_up(os.strerror(error.errno))
            return
        os.close(self._kept.pop())
        if self._short is not None:
            self._short = None
            self.troubled(DESCRIPTORS, "", None)
            self.over()

    def _give_up(self, why: str) -> None:
        self.close()
        self._short = f"{why}: this process may have {host.descriptors_max():,} files open at once"
        self.troubled(DESCRIPTORS, "", self._short)

    # ---- disks --------------------------------------------------------------------------------

    def _look_at_disks(self, is_read_only: Callable[[Path], bool]) -> None:
        found: dict[Path, str] = {}
        devices: set[int] = set()
        for folder in (*self.folders, self.inbox):
            with suppress(OSError):  # a folder that is not there is told by whoever needs it
                device = folder.stat().st_dev
                if device not in devices and is_read_only(folder):
                    found[folder] = f"{folder} can only be read: its file system is read-only"
                    devices.add(device)
        before, self._read_only = self._read_only, found
        for folder, why in found.items():
            self.troubled(READ_ONLY, str(folder), why)
        for folder in before.keys() - found.keys():
            self.troubled(READ_ONLY, str(folder), None)
        if before and not found:
            self.over()
