"""The real daemon on file systems whose power is cut: what was acknowledged is still there.

The daemon is killed before a call, the file system (ext4, xfs, or the strict one) shut down
without a flush and mounted again; then a reader looks, the daemon is started again and everything
is judged.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.crash import strikes, tally
from tests.crash.sweep import Plan, swept
from tests.power import loopfs, strictdisk

EVERY = {"ext4": 3, "xfs": 10, "strict": 3}  # of some 700 calls
UNAVAILABLE: Mapping[str, Callable[[], str | None]] = {
    "ext4": partial(loopfs.unavailable, "ext4"),
    "xfs": partial(loopfs.unavailable, "xfs"),
    "strict": strictdisk.unavailable,
}


def cuts(root: Path, plan: Plan) -> list[str]:
    """Cut the power at some calls, all over a life, and note how it went."""
    if reason := UNAVAILABLE[plan.disk]() or strikes.unavailable():
        pytest.skip(reason)
    found = swept(plan, root)
    tally.note(plan.harness, found.struck, found.findings)
    assert found.struck
    return found.findings


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_power_cut_costs_nothing(tmp_path: Path) -> None:
    """Two cuts in a life on ext4: nothing twice, nothing lost, nothing torn."""
    assert cuts(tmp_path, Plan(disk="ext4", first=200, every=300)) == []


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize(
    ("kind", "town"), [("ext4", "mixed"), ("ext4", "small"), ("xfs", "mixed"), ("strict", "mixed")]
)
def test_power_cuts_at_any_time_cost_nothing(kind: str, town: str, tmp_path: Path) -> None:
    """Cuts all over a life: nothing twice, nothing lost, nothing torn."""
    plan = Plan(disk=kind, town=town, first=tally.OFFSET, every=EVERY[kind] * tally.STRIDE)

    assert cuts(tmp_path, plan) == []


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["ext4", "strict"])
def test_syncs_that_are_not_carried_out_are_found_out(kind: str, tmp_path: Path) -> None:
    """Where no sync is what it says, cuts find something: so finding nothing says something."""
    if reason := UNAVAILABLE[kind]() or strikes.unavailable():
        pytest.skip(reason)

    assert swept(Plan(disk=kind, deaf=True, first=60, every=60), tmp_path).findings
