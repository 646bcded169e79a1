"""What a disk is to those who cut its power."""

from pathlib import Path
from typing import Protocol


class PowerDisk(Protocol):
    """A file system of its own, mounted at `place`."""

    place: Path

    def settle(self) -> None:
        """Make everything durable as it stands."""

    def cut(self) -> None:
        """Cut the power and come back: what was not synced is gone."""
