"""SIGTERM while something is under way: it ends in time, and the next start completes it."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.crash.real import RealWorld, real_world, wait_until

STOPS_WITHIN_SECONDS = 10.0
BUSY = {
    "an upload": {"do": "slow", "on": "files.upload", "seconds": 30, "times": 1},
    "a create": {"do": "slow", "on": "batches.create", "seconds": 4, "times": 1},
    "the answer of a create": {
        "do": "slow_answer",
        "on": "batches.create",
        "seconds": 30,
        "times": 1,
    },
    "a download": {"do": "slow_answer", "on": "files.download", "seconds": 30, "times": 1},
    "a list": {"do": "drip", "on": "batches.list", "bytes": 1, "seconds": 1, "times": 1},
}


def stopped(process: "subprocess.Popen[bytes]") -> float:
    """Ask it to stop and return for how many seconds it took its time."""
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOPS_WITHIN_SECONDS * 3)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return time.monotonic() - asked


def interrupted(world: RealWorld, fault: dict[str, object]) -> float:
    """Let it run into a slow call and ask it to stop there."""
    world.emulator.misbehave(**fault)
    process = world.launch()
    wait_until(world.emulator.has_fired, seconds=40, what=f"{fault} to strike")
    return stopped(process)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("busy", BUSY)
def test_it_stops_in_time_and_goes_on_later(busy: str, tmp_path: Path) -> None:
    """Asked to stop in the middle of a call it ends; the next start sends nothing twice."""
    with real_world(tmp_path) as world:
        took = interrupted(world, dict(BUSY[busy]))

        assert took < STOPS_WITHIN_SECONDS, f"{took:.1f} s: {world.log}"
        assert world.visible() == []
        assert world.recover() == []


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_it_stops_in_time_in_the_middle_of_a_delivery(tmp_path: Path) -> None:
    """Asked to stop as soon as results appear, it leaves no half folder for a reader."""
    with real_world(tmp_path) as world:
        process = world.launch()
        wait_until(lambda: any(world.outbox.glob("*/*.jsonl")), seconds=60, what="results")

        took = stopped(process)

        assert took < STOPS_WITHIN_SECONDS, world.log
        assert world.visible() == []
        assert world.recover() == []
