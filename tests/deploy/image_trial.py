"""Runs what an image would hold as a container would: its user, variables, command and signal."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from orchestrator.config.places import SOCKET_NAME
from tests.deploy.image_steps import Failed, Outcome

Found = TypeVar("Found")
PATIENCE_SECONDS = 60
PROMPTS = 20


def try_out(outcome: Outcome, scratch: Path) -> None:
    """Start it beside an emulator, ask for its health, let it answer a file, and stop it.

    Raises Failed. Nothing may be written outside the volume and the folder for the socket.
    """
    stage = outcome.stage
    before = _files(outcome)
    (volume,) = stage.of("VOLUME")
    with _process(outcome, scratch, ["emulator", "--port", "0", "--speed", "60"]) as (_, heard):
        address = _until(lambda: re.search(r"http://[\d.:]+", heard.read_text()), heard)[0]
        given = {
            "GEMINI_API_KEY": "any-key-will-do",
            "ORCHESTRATOR_PROFILES__DEFAULT__MODEL": "gemini-2.5-flash",
            "ORCHESTRATOR_GEMINI__BASE_URL": address,
            "ORCHESTRATOR_POLLING__INTERVAL_MIN_SECONDS": "0.2",
            "ORCHESTRATOR_POLLING__INTERVAL_MAX_SECONDS": "0.5",
        }
        with _process(outcome, scratch, stage.listed("CMD"), given) as (daemon, log):
            socket = Path(outcome.environment["RUNTIME_DIRECTORY"]) / SOCKET_NAME
            _until(socket.exists, log, daemon)  # before that no health check can be good
            _until(lambda: _is_healthy(outcome), log, daemon)
            _drop(outcome.at(volume) / "inbox")
            results = outcome.at(volume) / "outbox/prompts/results.jsonl"
            _until(results.exists, log, daemon)
            daemon.send_signal(signal.Signals[stage.of("STOPSIGNAL")[0]])
            if code := daemon.wait(PATIENCE_SECONDS):
                raise Failed("STOPSIGNAL", f"it ended with {code}:\n{log.read_text()}")
    answered = [json.loads(line) for line in results.read_text().splitlines()]
    if len(answered) != PROMPTS or not all("response" in line for line in answered):
        raise Failed("CMD", f"{len(answered)} of {PROMPTS} answers: {answered[:1]}")
    if changed := _files(outcome) ^ before:
        raise Failed("CMD", f"it wrote outside its volume: {sorted(changed)[:3]}")


@contextmanager
def _process(
    outcome: Outcome, scratch: Path, command: list[str], given: dict[str, str] | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    log = scratch / f"{command[0]}.log"
    user, group = _user(outcome)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*_entry(outcome), *command],
            stdout=out,
            stderr=out,
            cwd="/",
            env=_environment(outcome) | (given or {}),
            user=user,
            group=group,
        )
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def _entry(outcome: Outcome) -> list[str]:
    program, *rest = outcome.stage.listed("ENTRYPOINT")
    found = shutil.which(program, path=outcome.environment["PATH"])
    if found is None:
        raise Failed(f"ENTRYPOINT {program}", "no step has made it")
    return [found, *rest]


def _environment(outcome: Outcome) -> dict[str, str]:
    return {
        **outcome.environment,
        "LD_LIBRARY_PATH": str(outcome.base / "lib"),
        "PYTHONPATH": str(outcome.libraries),
    }


def _user(outcome: Outcome) -> tuple[int | None, int | None]:
    """Return the image's user and group, as far as we may become them."""
    if not outcome.owned:
        return None, None
    user, _, group = outcome.stage.of("USER")[0].partition(":")
    return int(user), int(group)


def _is_healthy(outcome: Outcome) -> bool:
    """Ask as the health check does."""
    program, *rest = outcome.stage.listed("HEALTHCHECK")
    found = shutil.which(program, path=outcome.environment["PATH"])
    user, group = _user(outcome)
    asked = subprocess.run(
        [str(found), *rest],
        env=_environment(outcome),
        cwd="/",
        check=False,
        capture_output=True,
        user=user,
        group=group,
    )
    return asked.returncode == 0


def _drop(inbox: Path) -> None:
    line = '{"contents": [{"parts": [{"text": "Say yes."}]}]}\n'
    temporary = inbox / "prompts.tmp"
    temporary.write_text(line * PROMPTS)
    temporary.chmod(0o644)
    temporary.rename(inbox / "prompts.jsonl")


def _until(
    true: Callable[[], Found | None],
    log: Path,
    process: "subprocess.Popen[bytes] | None" = None,
) -> Found:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if found := true():
            return found
        if process is not None and process.poll() is not None:
            raise Failed("CMD", f"it ended with {process.returncode}:\n{log.read_text()}")
        time.sleep(0.05)  # a process of its own gives no other sign
    raise Failed("HEALTHCHECK, CMD", f"nothing happens:\n{log.read_text()}")


def _files(outcome: Outcome) -> set[tuple[str, float]]:
    """Return every file of the image that a container may not change, with its time."""
    free = tuple(outcome.environment[f"{name}_DIRECTORY"] for name in ("STATE", "RUNTIME"))
    return {
        (path, os.lstat(path).st_mtime)
        for folder, _, names in os.walk(outcome.root)
        if not folder.startswith(free)
        for path in (os.path.join(folder, name) for name in names)  # noqa: PTH118
    }
