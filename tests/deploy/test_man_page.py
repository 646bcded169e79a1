"""The manual page says what the commands say."""

import subprocess
import sys
from pathlib import Path

from orchestrator.cli.program import COMMANDS

MAN = Path(__file__).parents[2] / "docs" / "man"


def test_the_page_is_made_from_the_help_as_it_is():
    """The page on file is what its maker writes now; if not: `make man`."""
    made = subprocess.run(
        [sys.executable, MAN / "render.py"], check=True, capture_output=True, text=True
    )

    assert (MAN / "orchestrator.1").read_text() == made.stdout


def test_every_command_is_in_the_page():
    """Each command has a section of its own."""
    page = (MAN / "orchestrator.1").read_text().replace("\\-", "-")

    assert all(f"\n.SS orchestrator {name} " in page for name in COMMANDS)
