"""Processes that the commands of a page talk to."""

import sys
import time

ORCHESTRATOR = [sys.executable, "-m", "orchestrator"]
PATIENCE_SECONDS = 60


def wait(process, true):
    """Wait until something is true, for as long as the process lives."""
    for _ in range(PATIENCE_SECONDS * 20):
        if found := true():
            return found
        assert process.poll() is None, process.args
        time.sleep(0.05)  # a process of its own gives no other sign
    raise AssertionError(process.args)


def read(file):
    """Return what a file holds by now."""
    return file.read_text("utf-8")
