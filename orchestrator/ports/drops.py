"""The watched folder: what is dropped there, and what has become ours."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Drop:
    """Something complete in the inbox that may be claimed. `name` is safe to show.

    `small` ones may be claimed together.
    """

    name: str
    profile: str
    raw: bytes  # the path below the inbox, as bytes
    small: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A drop that is ours: moved to `work/<folder>`, immutable, with its meta data durable.

    `trouble` is set for what may never be opened (a symlink, a FIFO, …) or cannot be read.
    `options` is the text of NAME.toml or set.toml, None if there was none.
    `run` and `copy` were fixed before use, if the set was named already in an earlier life.
    """

    folder: str
    name: str
    profile: str
    options: str | None
    run: int
    copy: int
    trouble: str | None


class Inbox(Protocol):
    """The watched folder. The scan is the truth; a watcher only rings early."""

    async def scan(self) -> Sequence[Drop]:
        """Return what is complete, oldest first."""

    async def claim(self, drop: Drop) -> Claim | None:
        """Make a drop ours, durably; None if it went away or is not complete after all."""

    async def claim_together(self, drops: Sequence[Drop]) -> Sequence[Claim]:
        """Make small drops ours, durably; those that went away are left out."""

    async def claims(self, besides: Collection[str] = ()) -> Sequence[Claim]:
        """Return the claims that lie in `work/`, whatever became of them, `besides` these."""

    def wake(self) -> AsyncIterator[None]:
        """Yield whenever a scan may find something new."""
