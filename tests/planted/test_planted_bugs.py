"""A harness that nobody has seen fail is no evidence: each bug is noticed by the one named."""

import pytest

from tests.planted.bugs import BUGS, Bug, planted
from tests.planted.checks import CHECKS
from tests.planted.harnesses import findings

QUICK = ("fair", "answers lost", "hidden", "empty list", "twins", "jobs fail", *CHECKS)


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
