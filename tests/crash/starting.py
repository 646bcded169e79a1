"""How a command of the product is started as a process of its own."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

PYTHON = (sys.executable, "-B", "-m", "orchestrator")


class Started(Protocol):
    """A process that was started: what is needed of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...
    @property
    def returncode(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float) -> int: ...
    def terminate(self) -> None: ...


class Start(Protocol):
    """Starts `orchestrator ARGUMENTS`, with a session of its own and its output in a file."""

    def __call__(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: Path, /
    ) -> Started: ...


def spawn(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    *,
    prefix: Sequence[str] = (),
) -> "subprocess.Popen[bytes]":
    """Start it as a user does, in a new interpreter."""
    with output.open("wb") as sink:
        return subprocess.Popen(
            [*prefix, *PYTHON, *arguments],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
