"""What is active in the project beside the jobs that live batches of ours stand for.

Jobs of other programs, twins of ours and strays with our prefix: whoever made them, they take up
places, and tokens where it is known how many.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.jobs import JobSnapshot, has_ended


@dataclass(frozen=True, slots=True)
class Others:
    """So many active jobs, and the tokens by model of those of which they are known."""

    jobs: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)


def beside(
    jobs: Iterable[JobSnapshot], ours: Mapping[IdempotencyKey, JobName | None]
) -> list[JobSnapshot]:
    """Return the active jobs that no live batch stands for.

    `ours` are the batches that may be at the provider, with their jobs. One whose job is not known
    (its create is in doubt) stands for one job of its name.
    """
    left = dict(ours)
    found: list[JobSnapshot] = []
    for job in jobs:
        token = IdempotencyKey(job.display_name)
        if has_ended(job):
            continue
        if token in left and left[token] in (None, job.name):
            del left[token]
        else:
            found.append(job)
    return found
