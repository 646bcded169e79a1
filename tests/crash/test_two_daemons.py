"""Two daemons at one place: the second is turned away, and the first pays once."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.real import RealWorld, real_world, wait_until

TRY_AGAIN = 75


@contextmanager
def living(world: RealWorld) -> "Iterator[subprocess.Popen[bytes]]":
    """Let a first daemon live while a second one tries."""
    process = world.launch()
    try:
        wait_until((world.state / ".orchestrator-holder").exists, seconds=30, what="a holder")
        wait_until((world.inbox / ".orchestrator-owner").exists, seconds=30, what="an owner")
        yield process
        assert process.poll() is None, world.log
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(30)


def second(world: RealWorld, config: Path | None = None) -> tuple[int, str]:
    """Start another one and return its exit code and what it said."""
    world.lives += 1
    process = world.launch(config=config)
    try:
        return process.wait(30), world.log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_second_daemon_is_turned_away(tmp_path: Path) -> None:
    """On a held state directory a start ends with 75 and names the holder, lock files or not."""
    with real_world(tmp_path) as world:
        with living(world) as first:
            code, said = second(world)
            for marker in world.state.glob(".orchestrator-*"):
                marker.unlink()
            code_without_files, _ = second(world)

            assert code == code_without_files == TRY_AGAIN, said
            assert f"pid {first.pid}" in said

        assert world.recover() == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_inbox_has_one_install(tmp_path: Path) -> None:
    """Another state directory on the same inbox is refused, and nothing is claimed by it."""
    with real_world(tmp_path) as world:
        other = tmp_path / "other"
        other.mkdir()
        config = tmp_path / "other.toml"
        text = world.config.read_text()
        text = text.replace(json.dumps(str(world.state)), json.dumps(str(other)), 1)
        text = text.replace(json.dumps(str(tmp_path / "socket")), json.dumps(str(other / "s")), 1)
        config.write_text(
            text.replace("[gemini]", f"inbox = {json.dumps(str(world.inbox))}\n[gemini]", 1)
        )
        with living(world):
            code, said = second(world, config)

        assert code not in (0, -signal.SIGKILL), said
        assert os.fspath(world.state) in said
        assert world.recover() == []
