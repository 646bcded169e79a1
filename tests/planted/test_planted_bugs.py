"""A harness that nobody has seen fail is no evidence: each bug is noticed by the one named."""

import pytest

from tests.planted.bugs import BUGS, Bug, planted
from tests.planted.harnesses import HARNESSES, findings

QUICK = ("fair", "answers lost", "hidden", "twins", "jobs fail")


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_noticed(bug: Bug) -> None:
    """With the bug in place its harness reports something."""
    with planted(bug):
        assert findings(bug.harness) != []


@pytest.mark.slow
@pytest.mark.parametrize("harness", [name for name in HARNESSES if name in QUICK])
def test_without_a_bug_a_harness_is_silent(harness: str) -> None:
    """The same worlds report nothing about the program as it is."""
    assert findings(harness) == []
