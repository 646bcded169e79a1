"""Real processes, killed and failed at their system calls: restarted, they finish, and pay once."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest

from tests.crash import tally
from tests.crash.real import real_world
from tests.crash.syscalls import FAILABLE, Injection, Point, points, unavailable

FAILURES = ("error=ENOSPC", "error=EIO", "error=EDQUOT")
KILL = "signal=KILL"
PAIRS = 100
PARTS = 4  # of a sweep, to be shared among processes


@pytest.fixture(autouse=True)
def needs_strace() -> None:
    """Skip, loudly, where system calls cannot be struck."""
    if reason := unavailable():
        pytest.skip(reason)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Point]:
    """Live one life to its end and list every point at which it can be struck."""
    kept = None if tally.POINTS is None else Path(tally.POINTS)
    if kept is not None and kept.exists():
        return [Point(**one) for one in json.loads(kept.read_text())]
    with real_world(tmp_path_factory.mktemp("survey") / "world") as world:
        life = world.live(trace=True)
        assert world.judge() == []
        assert life.calls is not None
        found = points(life.calls, world.state)
    if kept is not None:
        kept.write_text(json.dumps([asdict(point) for point in found]))
    return found


def strike(root: Path, *injections: Injection) -> list[str]:
    """Strike one life after the other, then let it recover; return what is wrong."""
    root.mkdir()
    with real_world(root) as world:
        findings = []
        for injection in injections:
            world.live(injection)
            findings += world.visible()
        struck = " then ".join(f"{one.point} {one.what}" for one in injections)
        return [f"{struck}: {finding}" for finding in findings + world.recover()]


def sweep(root: Path, harness: str, plans: Sequence[Sequence[Injection]]) -> list[str]:
    """Strike once for each plan, and note how it went."""
    findings = [
        finding
        for number, plan in enumerate(plans)
        for finding in strike(root / str(number), *plan)
    ]
    tally.note(harness, len(plans), findings)
    return findings


def share(found: Sequence[Point], part: int) -> Sequence[Point]:
    """Return one part's points; with a stride only some of them."""
    return found[tally.OFFSET :: tally.STRIDE][part::PARTS]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_at_some_system_calls_costs_nothing(tmp_path: Path, found: Sequence[Point]) -> None:
    """SIGKILL at a sample of the calls that change something: nothing twice, nothing lost."""
    findings = [
        finding
        for number, point in enumerate(found[:: max(1, len(found) // 4)])
        for finding in strike(tmp_path / str(number), Injection(point, KILL))
    ]

    assert findings == []


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_kill_at_every_system_call_costs_nothing(
    tmp_path: Path, found: Sequence[Point], part: int
) -> None:
    """SIGKILL at each call that changes something."""
    plans = [[Injection(point, KILL)] for point in share(found, part)]

    assert sweep(tmp_path, "SIGKILL", plans) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_second_kill_during_recovery_costs_nothing(
    tmp_path: Path, found: Sequence[Point]
) -> None:
    """SIGKILL in pairs: a point, and the next of the sample while recovering from it."""
    kills = [Injection(point, KILL) for point in found]
    sample = kills[:: max(1, len(kills) // PAIRS)][tally.OFFSET :: tally.STRIDE]

    assert sweep(tmp_path, "SIGKILL in pairs", list(pairwise(sample))) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_disk_costs_nothing(
    failure: str, tmp_path: Path, found: Sequence[Point], part: int
) -> None:
    """A full or failing disk at each call that can fail so."""
    failable = [point for point in found if point.call in FAILABLE]
    plans = [[Injection(point, failure)] for point in share(failable, part)]

    assert sweep(tmp_path, failure.removeprefix("error="), plans) == []
