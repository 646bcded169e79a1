"""A harness that nobody has seen fail is no evidence: each bug is noticed by the one named."""

import pytest

from tests.planted.bugs import BUGS, Bug, planted
from tests.planted.checks import CHECKS
from tests.planted.harnesses import findings

WORLDS = ("fair", "answers lost", "hidden", "empty list", "late creates", "rows missing", "twins")
QUICK = (*WORLDS, "jobs fail", *CHECKS)
BUGS_MIN = 25


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_noticed(bug: Bug) -> None:
    """With the bug in place its harness reports something."""
    with planted(bug):
        assert findings(bug.harness) != []


@pytest.mark.slow
@pytest.mark.parametrize("harness", QUICK)
def test_without_a_bug_a_harness_is_silent(harness: str) -> None:
    """The same worlds report nothing about the program as it is."""
    assert findings(harness) == []


def test_enough_bugs_are_planted() -> None:
    """The claim is about at least so many different mistakes."""
    assert len({bug.name for bug in BUGS}) >= BUGS_MIN
