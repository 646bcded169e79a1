"""Real processes, killed and failed at their system calls: restarted, they finish, and pay once."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash.real import real_world
from tests.crash.syscalls import FAILABLE, Injection, Point, points, unavailable

FAILURES = ("error=ENOSPC", "error=EIO", "error=EDQUOT")
SAMPLE = 60


@pytest.fixture(autouse=True)
def needs_strace() -> None:
    """Skip, loudly, where system calls cannot be struck."""
    if reason := unavailable():
        pytest.skip(reason)


def survey(tmp_path: Path) -> list[Point]:
    """Live one life to its end and list every point at which it can be struck."""
    with real_world(tmp_path / "survey") as world:
        life = world.live(trace=True)
        assert world.judge() == []
        assert life.calls is not None
        return points(life.calls, world.state)


def strike(root: Path, *injections: Injection) -> list[str]:
    """Strike one life after the other, then let it recover; return what is wrong."""
    root.mkdir()
    with real_world(root) as world:
        findings = []
        for injection in injections:
            world.live(injection)
            findings += world.visible()
        return [f"{injections}: {one}" for one in findings + world.recover()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_at_some_system_calls_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL at a sample of the calls that change something: nothing twice, nothing lost."""
    found = survey(tmp_path)

    findings = [
        finding
        for number, point in enumerate(found[:: max(1, len(found) // 4)])
        for finding in strike(tmp_path / str(number), Injection(point, "signal=KILL"))
    ]

    assert findings == []


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_a_kill_at_every_system_call_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL at each call that changes something."""
    findings = [
        finding
        for number, point in enumerate(survey(tmp_path))
        for finding in strike(tmp_path / str(number), Injection(point, "signal=KILL"))
    ]

    assert findings == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_second_kill_during_recovery_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL in pairs."""
    kills = [Injection(point, "signal=KILL") for point in survey(tmp_path)]
    sparse = kills[:: max(1, len(kills) // SAMPLE)]
    findings = [
        finding
        for number, (first, second) in enumerate(pairwise(sparse))
        for finding in strike(tmp_path / str(number), first, second)
    ]

    assert findings == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_disk_costs_nothing(failure: str, tmp_path: Path) -> None:
    """A full or failing disk at each call that can fail so."""
    failable = [point for point in survey(tmp_path) if point.call in FAILABLE]
    findings = [
        finding
        for number, point in enumerate(failable)
        for finding in strike(tmp_path / str(number), Injection(point, failure))
    ]

    assert findings == []
