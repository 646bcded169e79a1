"""How the C library keeps memory for the daemon, which lives for weeks and must stay small.

By default each thread gets a heap of its own, and what one of them freed is of no use to the next;
a large buffer that was freed is kept as well, for the next one as large. Both are fast where many
threads allocate at once. Ours take turns in the interpreter.
"""

import contextlib
import ctypes

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # of <malloc.h>
LARGE_BYTES = 1 << 20  # from there on a buffer goes back to the kernel as soon as it is freed


def keep_small() -> None:
    """Use one heap for all threads, and give large buffers back; before any thread begins.

    Elsewhere than on glibc nothing is done.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Let the kernel have what is free in the middle of the heap: after work, not during it.

    Takes some milliseconds. Elsewhere than on glibc nothing is done.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
