"""What is shown of the daemon as a whole, as the other views are."""

from typing import Literal

from pydantic import AwareDatetime

from orchestrator.status.views import (
    BatchCounts,
    Condition,
    Count,
    IncidentView,
    Money,
    SetCounts,
    View,
)

ServiceState = Literal["starting", "running", "degraded", "blocked", "stopping"]


class Service(View):
    """The process itself. `blocked`: nothing can be submitted; `degraded`: see the conditions."""

    name: Literal["orchestrator"]
    version: str
    pid: int
    state: ServiceState
    started_at: AwareDatetime
    uptime_seconds: Count
    event_loop_lag_seconds: float


class Queues(View):
    """What waits for each stage. `intake` counts drops, `index`, `plan` and `deliver` sets."""

    intake: Count
    index: Count
    plan: Count
    upload: Count
    submit: Count
    in_doubt: Count
    watch: Count
    collect: Count
    deliver: Count


class ProjectView(View):
    """One account: whether it accepts work, what is in use of its limits, what work waits for."""

    name: str
    blocked: bool
    reason: str | None
    remedy: str | None
    since: AwareDatetime | None
    active_jobs: Count
    active_jobs_max: Count
    enqueued_tokens: dict[str, Count]
    waits_for: str | None = None


class ScanView(View):
    """The newest complete look at the provider's job list; null until there was one."""

    at: AwareDatetime
    jobs: Count
    strays: Count


class ReadingView(View):
    """A drop that is being read."""

    name: str
    bytes_done: Count
    bytes_total: Count


class TotalsView(View):
    """Sums over the sets that are still open, and the money that was spent.

    What models without a price used is in no sum: `unpriced` names them. `spent` is null when
    nothing that was used has a price.
    """

    sets: SetCounts
    batches: BatchCounts
    requests: Count
    answered: Count
    failed: Count
    open: Count
    oldest_job_age_seconds: Count | None
    spent_today: Money | None
    spent: Money | None
    unpriced: list[str]
    incidents: Count


class StatusView(View):
    """The whole daemon at a glance; of the incidents the newest, newest first."""

    service: Service
    conditions: list[Condition]
    queues: Queues
    totals: TotalsView
    projects: list[ProjectView]
    reading: list[ReadingView]
    last_scan: ScanView | None
    incidents: list[IncidentView]
