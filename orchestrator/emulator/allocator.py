"""Tells the C library to keep freed memory instead of giving it back at once.

An upload's pieces are a quarter of a megabyte each. By default glibc returns every one of them to
the kernel when it is freed and gets zeroed pages for the next one, which costs an upload half as
much as hashing it does.
"""

TRIM_THRESHOLD = -1
MMAP_THRESHOLD = -3
PIECE_BYTES_MAX = 1 << 20
KEPT_BYTES = 8 << 20


def keep_freed_memory() -> None:
    """Let the process keep some megabytes for reuse; elsewhere than on glibc, do nothing."""
    import ctypes  # noqa: PLC0415 - only a process that serves needs it

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(MMAP_THRESHOLD, PIECE_BYTES_MAX)
    mallopt(TRIM_THRESHOLD, KEPT_BYTES)
