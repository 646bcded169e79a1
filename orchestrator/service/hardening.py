"""Keeping the process' memory, and the key in it, out of core files and other users' debuggers."""

import ctypes
import os
import resource

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4


def seal() -> None:
    """Forbid core files and tracing by other processes of the same user.

    Trouble: OSError where the kernel says no; running on would leave the key in reach.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl(PR_SET_DUMPABLE): {os.strerror(code)}")


def is_sealed() -> bool:
    """Tell whether no core of this process would be written."""
    return resource.getrlimit(resource.RLIMIT_CORE)[0] == 0 and _dumpable() == 0


def _dumpable() -> int:
    dumpable: int = ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
    return dumpable
