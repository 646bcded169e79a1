"""The provider's job, as we saw it last.

The wire says BATCH_STATE_SUCCEEDED, the guide's samples say JOB_STATE_SUCCEEDED: only what
follows `_STATE_` counts. A state nobody has heard of is watched on, never taken for an end.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

from orchestrator.domain.ids import FileName, JobName


class JobState(StrEnum):
    """The states that the Batch API documents."""

    UNSPECIFIED = "unspecified"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})
PROGRESS = (
    JobState.SUCCEEDED,
    JobState.RUNNING,
    JobState.PENDING,
    JobState.UNSPECIFIED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.EXPIRED,
)


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A state that this version does not know."""

    text: str


@dataclass(frozen=True, slots=True)
class JobError:
    """A google.rpc.Status: `code` is the rpc number (3, 8, 13 …), not an HTTP status."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """What one answer of the service said about one job.

    `output` is the name of the result file; None for inline jobs and while it is not there yet.
    Counts are None where the answer left them out; in lists they may be stale.
    """

    name: JobName
    state: JobState | Unrecognised
    display_name: str
    model: str
    created_at: datetime | None
    ended_at: datetime | None
    input_file: FileName | None
    output: FileName | None
    requests: int | None
    succeeded: int | None
    failed: int | None
    error: JobError | None


@dataclass(frozen=True, slots=True)
class Scan:
    """One walk over the job list, page by page from the newest.

    `complete` is True only when every page was well-formed and no page token came twice, to
    the end of the list. An incomplete scan shows presence, never absence.
    """

    jobs: tuple[JobSnapshot, ...]
    complete: bool
    pages: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Gone:
    """The service says that it does not know the job."""


Seen: TypeAlias = JobSnapshot | Gone


def has_ended(job: JobSnapshot) -> bool:
    """Tell whether the service says that this job is over, however it ended."""
    return job.state in ENDED


def parse_state(text: str) -> JobState | Unrecognised:
    """Read a wire state in either of its two spellings."""
    _, mark, word = text.partition("_STATE_")
    try:
        return JobState(word.lower()) if mark else Unrecognised(text)
    except ValueError:
        return Unrecognised(text)


def more_advanced(job: JobSnapshot) -> tuple[int, float]:
    """Return a sort key that puts the job to be kept among twins first."""
    rank = (
        PROGRESS.index(job.state)
        if isinstance(job.state, JobState)
        else PROGRESS.index(JobState.UNSPECIFIED)
    )
    return rank, job.created_at.timestamp() if job.created_at else float("inf")
