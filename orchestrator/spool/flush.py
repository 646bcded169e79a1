"""Makes everything durable that was written to a file system, in one call.

For many files this is one wait in place of several for each. It waits for what others wrote there,
too, so it is not for one file.
"""

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

from orchestrator.spool import atomic


def everything(place: Path) -> None:
    """Make all contents and names durable on the file system of a folder.

    Raises OSError, also for what went wrong since the last such call (Linux 5.8).
    """
    folder = atomic.open_folder(place)
    try:
        with atomic.effect("syncfs", place):
            syncfs(folder)
    finally:
        os.close(folder)


def syncfs(file: int) -> None:
    """Ask the kernel."""
    if _libc().syncfs(file):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@cache
def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)
