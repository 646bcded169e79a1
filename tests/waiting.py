"""Waiting for other processes, which give no other sign."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05


def until(true: Callable[[], T | None], *, what: str = "it", seconds: float = 30.0) -> T:
    """Look until something is true, bounded; returns what came true."""
    ends = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(POLL_SECONDS)
    return found
