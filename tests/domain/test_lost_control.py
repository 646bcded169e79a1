"""Doubt comes to an end even when the last job that could serve as a control is deleted."""

from datetime import timedelta

from orchestrator.domain.evidence import Absence, Evidence, Start
from orchestrator.domain.ids import JobName
from orchestrator.domain.jobs import JobSnapshot, JobState, Scan
from orchestrator.domain.policy import SubmissionPolicy

POLICY = SubmissionPolicy(late_create=timedelta(minutes=15), list_lag=timedelta(minutes=30))
WINDOW = POLICY.window.total_seconds()
CONTROL = JobName("batches/control")
EMPTY = Scan((), complete=True, pages=1)
SHOWN = Scan(
    (
        JobSnapshot(
            CONTROL, JobState.SUCCEEDED, "", "m", None, None, None, None, None, None, None, None
        ),
    ),
    complete=True,
    pages=1,
)


def looked(shown: int, until: float) -> Evidence:
    """Look every five minutes from 0 on; the first `shown` looks show the control."""
    evidence = Evidence(POLICY, "orc1-", Start.INTACT, 0.0)
    for number in range(int(until // 300) + 1):
        scan = SHOWN if number < shown else EMPTY
        evidence.add(scan, 300.0 * number + 1, {CONTROL})
    return evidence


def test_a_control_that_was_deleted_leaves_weak_evidence() -> None:
    """After twice the window absence is weakly proven, though early scans showed a control."""
    assert looked(3, WINDOW).absence(0.0) is Absence.UNPROVEN
    assert looked(3, 2 * WINDOW + 300).absence(0.0) is Absence.WEAK


def test_a_control_that_stays_proves() -> None:
    """After the window absence is proven when the control is shown to its end."""
    assert looked(100, WINDOW + 300).absence(0.0) is Absence.PROVEN
