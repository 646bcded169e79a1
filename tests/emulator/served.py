"""The emulator as its users have it: a process of its own, for clients that block."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START = "from orchestrator.cli.emulator import emulator; emulator(prog_name='emulator')"
QUICK = """
pending_seconds = 0.2
running_seconds = 0.3
cancel_seconds = 0.1
"""


@contextmanager
def process(folder: Path, plan: str = QUICK) -> Iterator[tuple[str, int]]:
    """Run `orchestrator emulator` for the length of a block; yields its base URL and its pid."""
    (folder / "plan.toml").write_text(plan)
    command = [sys.executable, "-c", START, "--port", "0", "--plan", str(folder / "plan.toml")]
    command += ["--state-dir", str(folder / "state"), "--quiet"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    try:
        yield running.stdout.readline().split(" on ")[1].split(" ")[0], running.pid
    finally:
        running.terminate()
        books = running.stdout.read()
        running.stdout.close()
        assert running.wait() == 0
        assert "The books" in books


@contextmanager
def served(folder: Path, plan: str = QUICK) -> Iterator[str]:
    """Run `orchestrator emulator` for the length of a block; yields its base URL."""
    with process(folder, plan) as (base, _):
        yield base
