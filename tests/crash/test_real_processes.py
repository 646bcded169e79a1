"""Real processes, killed and failed at their system calls: restarted, they finish, and pay once."""

from collections import Counter
from pathlib import Path

import pytest

from tests.crash import strikes, syscalls, tally
from tests.crash.real import real_world
from tests.crash.strikes import Strike
from tests.crash.sweep import FAILURES, PAIRS, Plan, swept
from tests.crash.syscalls import Injection

STRIDE = 90  # of the sample that belongs to each change
PAIRS_STRIDE = 4


@pytest.fixture(autouse=True)
def needs_a_compiler() -> None:
    """Skip, loudly, where the library that strikes cannot be built."""
    if reason := strikes.unavailable():
        pytest.skip(reason)


@pytest.fixture
def needs_strace() -> None:
    """Skip, loudly, where system calls cannot be traced."""
    if reason := syscalls.unavailable():
        pytest.skip(reason)


def noted(plan: Plan, root: Path) -> list[str]:
    """Sweep, and note how it went."""
    found = swept(plan, root)
    tally.note(plan.harness, found.struck, found.findings)
    assert found.struck
    return found.findings


def everywhere(**plan: object) -> Plan:
    """Strike at all calls, or at those that a sweep in pieces leaves to this run."""
    return Plan(first=tally.OFFSET, every=tally.STRIDE, **plan)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_kill_at_some_calls_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL at a sample of the calls that change something: nothing twice, nothing lost."""
    assert noted(Plan(every=STRIDE), tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("needs_strace")
def test_the_command_as_it_is_installed_lives_through_a_kill(tmp_path: Path) -> None:
    """The daemon as a user starts it, killed by the kernel at a commit, goes on when started."""
    with real_world(tmp_path) as world:
        life = world.live(Injection("fdatasync", 12, "signal=KILL"))

        assert "daemon.stopped" not in life.log
        assert world.visible() == []
        assert world.recover() == []


@pytest.mark.soak
@pytest.mark.timeout(120)
@pytest.mark.usefixtures("needs_strace")
def test_no_call_goes_past_the_library(tmp_path: Path) -> None:
    """What the kernel is asked to change, by whatever thread or worker, the library counts."""
    book = tmp_path / "book"
    with real_world(tmp_path / "world") as world:
        library = strikes.build(tmp_path)
        world.preload = strikes.orders(Strike(0), world.state, book)
        world.preload["LD_PRELOAD"] = str(library)
        life = world.live(trace=True)
        findings = world.judge()
        assert life.calls is not None
        asked = Counter(one.call for one in syscalls.changes(life.calls, world.state))
    counted = Counter(call.split(" ")[0] for call in strikes.read(book).calls)

    assert findings == []
    assert asked["fsync"] > 0
    assert {name: counted[name] for name in asked} == dict(asked)


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("town", ["mixed", "small"])
def test_a_kill_at_every_call_costs_nothing(town: str, tmp_path: Path) -> None:
    """SIGKILL at each call that changes something; also where small files are taken together."""
    assert noted(everywhere(town=town), tmp_path) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_second_kill_during_recovery_costs_nothing(tmp_path: Path) -> None:
    """SIGKILL in pairs: at a call, and at the next of the sample while recovering from it."""
    plan = Plan(PAIRS, first=tally.OFFSET, every=PAIRS_STRIDE * tally.STRIDE)

    assert noted(plan, tmp_path) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_disk_costs_nothing(failure: str, tmp_path: Path) -> None:
    """A full or failing disk at each call that can fail so."""
    assert noted(everywhere(kind=failure), tmp_path) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_disk_that_stays_full_costs_nothing(tmp_path: Path) -> None:
    """A disk that is full from some call on for the rest of a life."""
    assert noted(everywhere(kind="ENOSPC", lasts=True), tmp_path) == []
