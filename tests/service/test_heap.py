"""The daemon's threads share one heap."""

import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from orchestrator.service import heap

if "shared" in sys.argv:
    heap.keep_small()
barrier = threading.Barrier(4)

def allocate():
    barrier.wait()
    kept = [bytes(1000) for _ in range(2000)]
    barrier.wait()
    return kept

threads = [threading.Thread(target=allocate) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def heaps(*arguments: str) -> int:
    """Count the heaps of a process whose threads allocate side by side."""
    command = [sys.executable, "-c", COUNT, *arguments]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return told.count("<heap ")


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux")
def test_threads_share_one_heap() -> None:
    """Left to itself the C library makes one for each of them."""
    assert heaps("shared") == 1
    assert heaps() > 1
