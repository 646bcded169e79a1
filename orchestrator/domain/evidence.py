"""What the job lists read in this life of the daemon prove, and what they do not.

An empty list is no evidence of absence: only an *admissible* scan is, one that went to the end and
showed a job that we know to exist (the positive control). Presence needs no such care. Times are
seconds on a clock that never jumps; a restart begins every window anew.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import Enum

from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.jobs import JobSnapshot, Scan
from orchestrator.domain.policy import SubmissionPolicy

SCANS_ADMISSIBLE_MIN = 3
SCANS_WEAK_MIN = 8
SCANS_BOOTSTRAP_MIN = 5
WEAK_WINDOWS = 2
SCANS_KEPT_MAX = 4096
SCHEDULE_SECONDS = (5.0, 30.0, 120.0, 300.0, 900.0)


class Start(Enum):
    """How far the ledger of this life can be trusted to know every create that was sent."""

    FIRST = "first"  # a new install: no job can bear its prefix
    INTACT = "intact"  # same boot, or a clean stop: nothing that was committed is missing
    DOUBTFUL = "doubtful"  # a power cut, or a ledger that was restored or made anew


class Absence(Enum):
    """How well it is proven that no job bears a token."""

    PROVEN = "proven"
    WEAK = "weak"  # no positive control was seen for long enough, but long and often looked
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class Look:
    """When one complete scan began, and whether it can prove absence."""

    began: float
    admissible: bool


@dataclass(slots=True)
class Evidence:
    """All that was seen in the job lists since `born`, for one account."""

    policy: SubmissionPolicy
    prefix: str  # of every token of this install
    start: Start
    born: float
    seen: dict[JobName, JobSnapshot] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)

    def add(self, scan: Scan, began: float, controls: Collection[JobName]) -> None:
        """Take in a scan; `controls` are the jobs that we knew to exist before it began."""
        ours = [job for job in scan.jobs if job.display_name.startswith(self.prefix)]
        self.seen.update((job.name, job) for job in ours)
        if not scan.complete:
            return
        shown = any(job.name in controls for job in scan.jobs)
        self.looks.append(Look(began, shown))
        del self.looks[:-SCANS_KEPT_MAX]

    def matches(self, token: IdempotencyKey) -> tuple[JobSnapshot, ...]:
        """Return every job that was ever seen under this token."""
        return tuple(job for job in self.seen.values() if job.display_name == token)

    def of_set(self, set_prefix: str) -> tuple[JobSnapshot, ...]:
        """Return every job that was seen under any token of a set, of whatever generation."""
        return tuple(job for job in self.seen.values() if job.display_name.startswith(set_prefix))

    def forget(self, job: JobName) -> None:
        """Drop a job that we deleted ourselves."""
        self.seen.pop(job, None)

    def absence(self, since: float) -> Absence:
        """Judge how well a job sent before `since` and never seen is proven absent."""
        window = self.policy.window.total_seconds()
        looks = [look for look in self.looks if look.began > since]
        sound = [look for look in looks if look.admissible]
        if len(sound) >= SCANS_ADMISSIBLE_MIN and sound[-1].began - since >= window:
            return Absence.PROVEN
        long_enough = looks and looks[-1].began - since >= WEAK_WINDOWS * window
        if long_enough and len(looks) >= SCANS_WEAK_MIN:
            return Absence.WEAK  # a control that was shown early may be deleted by now
        return Absence.UNPROVEN

    def looked_after(self, since: float) -> bool:
        """Tell whether a complete scan began after `since`."""
        return bool(self.looks) and self.looks[-1].began > since

    def sound_after(self, since: float) -> bool:
        """Tell whether an admissible scan began after `since`."""
        return any(look.admissible and look.began > since for look in self.looks)

    def may_create(self) -> bool:
        """Tell whether this life has looked long enough for creates to begin."""
        if not self.looks:
            return False
        if self.start is not Start.DOUBTFUL:
            return True
        if self.looks[-1].began - self.born < self.policy.window.total_seconds():
            return False
        sound = any(look.admissible for look in self.looks)
        return sound or len(self.looks) >= SCANS_BOOTSTRAP_MIN

    def next_scan(self, since: float, now: float) -> float:
        """Return when (on the same clock) a doubt that began at `since` wants the next scan."""
        late, lag = (
            self.policy.late_create.total_seconds(),
            self.policy.list_lag.total_seconds(),
        )
        times = (*SCHEDULE_SECONDS, late, late + lag / 2, late + lag, 2 * (late + lag))
        due = sorted(since + step + 0.001 for step in times)
        return next((when for when in due if when > now), now + max(lag / 2, 60.0))
