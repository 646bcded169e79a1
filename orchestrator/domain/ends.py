"""What the end of a job means for its requests when it brought no answers."""

from orchestrator.domain.batches import Batch, Ended, Lapsed, LapseReason, Part
from orchestrator.domain.failures import INTERNAL
from orchestrator.domain.jobs import JobState
from orchestrator.domain.policy import REMEDIES, Remedy

LAPSES = {
    JobState.EXPIRED: LapseReason.EXPIRED,
    JobState.FAILED: LapseReason.FAILED,
    JobState.CANCELLED: LapseReason.CANCELLED,
    JobState.SUCCEEDED: LapseReason.FAILED,
}
_CODES = {LapseReason.EXPIRED: 4, LapseReason.CANCELLED: 1}


def remedy_for(item: Ended) -> Remedy:
    """Return what helps against an end like this."""
    if item.outcome is JobState.FAILED and item.error is not None:
        return REMEDIES.get(item.error.code, Remedy.AGAIN)
    return Remedy.AGAIN


def code_of(item: Ended) -> int:
    """Return the rpc number of this end, the service's own where it gave one."""
    said = item.error.code if item.error else None
    return said or _CODES.get(LAPSES[item.outcome], INTERNAL)


def held_the_first_of(row: Batch, part: Part) -> bool:
    """Tell whether a batch of this generation failed before with the first request of `part`."""
    failed = isinstance(row, Lapsed) and row.reason is LapseReason.FAILED
    same = row.part.generation == part.generation and row.part.lo <= part.lo < row.part.hi
    return failed and same
