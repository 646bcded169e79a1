"""What must be true of the machine before anything starts, and how much space is left."""

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import orchestrator
from orchestrator.config.errors import ConfigError
from orchestrator.config.settings import Paths
from orchestrator.service import host

PRIVATE = 0o700
SHARED = 0o755
MIGRATIONS = "_migrations"


def make(paths: Paths) -> None:
    """Make the folders that are not there, and check that a claim can be a rename.

    Raises ConfigError when a folder cannot be used.
    """
    for folder, mode in (
        (paths.state_dir, SHARED),
        (paths.work, PRIVATE),
        (paths.backups, PRIVATE),
        (paths.inbox, SHARED),
        (paths.outbox, SHARED),
        (paths.rejected, SHARED),
    ):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            if host.is_read_only(folder):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(folder))
            raise PermissionError(errno.EACCES, "cannot be written", str(folder))
    home = paths.work.stat().st_dev
    for folder in (paths.outbox, paths.rejected):
        if folder.stat().st_dev != home:
            raise ConfigError(
                f"{folder}: is on another file system than {paths.work}; results appear whole "
                "only by a rename, so put both on one"
            )
    if paths.inbox.stat().st_mode & 0o002:
        raise ConfigError(
            f"{paths.inbox}: anybody on this machine may write there and so spend your money; "
            f"chmod o-w {paths.inbox}"
        )


def migrations() -> Path:
    """Return the folder of the ledger's migrations: in the wheel, or beside the package."""
    package = Path(orchestrator.__file__).parent
    inside = package / MIGRATIONS
    return inside if inside.is_dir() else package.parent / "migrations"


@dataclass(frozen=True, slots=True)
class Room:
    """Tells when too little space is left for anything new."""

    folder: Path
    least: int

    def __call__(self) -> str | None:
        """Tell why nothing new may be written, None if there is space."""
        free = host.space(self.folder).free_bytes
        if free >= self.least:
            return None
        return (
            f"only {free:,} bytes are free below {self.folder}, service.min_free_bytes is "
            f"{self.least:,}; free some space"
        )
