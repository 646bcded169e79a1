"""The daemon's threads share one heap, and what work has left free in it goes back."""

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

GIVE_BACK = """
from pathlib import Path
from orchestrator.service import heap

def held():
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return int(rollup.partition("Anonymous:")[2].split()[0])

heap.keep_small()
buffers = [bytes(100_000) for _ in range(400)]
kept = buffers[::50]  # the last of them lies at the end of the heap
kept.append(buffers[-1])
del buffers
before = held()
heap.give_back()
print(before - held())
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


@pytest.mark.skipif(sys.platform != "linux", reason="asks the C library of Linux")
def test_what_is_free_in_the_middle_of_the_heap_is_given_back() -> None:
    """A few buffers that live on do not keep the others' memory."""
    done = subprocess.run(
        [sys.executable, "-c", GIVE_BACK], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) > 20_000  # KiB, of some 39,000
