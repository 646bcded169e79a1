"""Room kept in reserve, so that an accepted job can be recorded on a full disk."""

import os
from pathlib import Path

BALLAST_BYTES = 64 << 20


def lay(ballast: Path, size: int = BALLAST_BYTES) -> bool:
    """Reserve the room; False when there is too little of it now. Repeatable."""
    if ballast.exists() and ballast.stat().st_size == size:
        return True
    descriptor = os.open(ballast, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        ballast.unlink()
        return False
    finally:
        os.close(descriptor)
    return True


def drop(ballast: Path | None) -> bool:
    """Give the room up; False when there was none."""
    if ballast is None:
        return False
    try:
        ballast.unlink()
    except FileNotFoundError:
        return False
    return True
