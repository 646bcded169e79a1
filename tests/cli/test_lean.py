"""What the daemon does not load, for it lives for weeks."""

import subprocess
import sys

LOOK = """
import sys
from orchestrator.cli.run import import_structlog
import_structlog()
import structlog
from orchestrator import daemon
print("rich" in sys.modules)
import rich
"""


def test_the_daemon_does_without_what_colours_tracebacks() -> None:
    """It is not loaded, and can be had all the same by a command that wants it."""
    told = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, check=True, text=True)

    assert told.stdout == "False\n"
