"""The real daemon on a real ext4 and xfs whose power is cut: what was acknowledged is still there.

The daemon is killed before a system call, the file system shut down without a flush and mounted
again; then a reader looks, the daemon is started again and everything is judged.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.crash import syscalls, tally
from tests.crash.real import real_world
from tests.crash.syscalls import Injection, Point, points
from tests.power.loopfs import LoopDisk, loop_disk, unavailable

CUTS = {"ext4": 200, "xfs": 60}
SAMPLE = 1


def survey(root: Path, disk: LoopDisk) -> Sequence[Point]:
    """Live one life to its end on the disk and list every point of it."""
    disk.renew()
    try:
        with real_world(root / "survey", state=disk.place / "state") as world:
            life = world.live(trace=True)
            assert world.judge() == []
            assert life.calls is not None
            return points(life.calls, world.state)
    finally:
        disk.leave()


def cut_at(root: Path, disk: LoopDisk, point: Point) -> list[str]:
    """Cut the power right before one call, look, recover; return what is wrong."""
    disk.renew()
    try:
        with real_world(root, state=disk.place / "state") as world:
            disk.settle()  # the drops: how durable they are is their producer's business
            world.live(Injection(point, "signal=KILL"))
            disk.cut()
            findings = world.visible() + world.recover()
            return [f"{disk.kind}, cut before {point}: {finding}" for finding in findings]
    finally:
        disk.leave()


def cuts(root: Path, kind: str, count: int) -> list[str]:
    """Cut the power at `count` points, spread over a life, and note how it went."""
    reason = unavailable(kind) or syscalls.unavailable()
    if reason:
        pytest.skip(reason)
    with loop_disk(root, kind) as disk:
        found = survey(root, disk)
        struck = found[len(found) // (count + 1) :: max(1, len(found) // count)]
        findings = [
            finding
            for number, point in enumerate(struck)
            for finding in cut_at(root / str(number), disk, point)
        ]
    tally.note(f"power cut, {kind}", len(struck), findings)
    return findings


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_power_cut_costs_nothing(tmp_path: Path) -> None:
    """One cut in the middle of a life on ext4: nothing twice, nothing lost, nothing torn."""
    assert cuts(tmp_path, "ext4", SAMPLE) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_power_cuts_at_any_time_cost_nothing(kind: str, tmp_path: Path) -> None:
    """Cuts all over a life: nothing twice, nothing lost, nothing torn."""
    assert cuts(tmp_path, kind, CUTS[kind] // tally.STRIDE) == []
