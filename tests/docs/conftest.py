"""The emulator beside which the examples of the documents run."""

import re
import subprocess

import pytest

from tests.docs.processes import ORCHESTRATOR, read, wait


@pytest.fixture
def emulator(tmp_path):
    """Return the address of an emulator."""
    command = [*ORCHESTRATOR, "emulator", "--port", "0", "--speed", "60", "--quiet"]
    log = tmp_path / "emulator.log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, cwd=tmp_path) as process:
        yield wait(process, lambda: re.search(r"http://[\d.:]+", read(log)))[0]
        process.terminate()
