"""The whole daemon at a glance, made from the board."""

from collections import Counter
from datetime import datetime

from orchestrator.domain.batches import Batch, Submitted
from orchestrator.status.batches_shown import is_doubtful
from orchestrator.status.board import Board, Project
from orchestrator.status.figures import dollars, seconds_between
from orchestrator.status.sets_shown import display, outcome
from orchestrator.status.views import (
    BatchCounts,
    ProjectView,
    Queues,
    ReadingView,
    ScanView,
    Service,
    ServiceState,
    SetCounts,
    StatusView,
    TotalsView,
)


def status_view(board: Board, now: datetime) -> StatusView:
    """Show the whole daemon as of now."""
    live = tuple(board.live)
    return StatusView(
        service=_service(board, now),
        conditions=board.conditions,
        queues=queues(board, live),
        totals=_totals(board, live, now),
        projects=[_project(project, live) for project in board.projects.values()],
        reading=[
            ReadingView(name=name, bytes_done=done, bytes_total=total)
            for name, (done, total) in board.reading.items()
        ],
        last_scan=_scan(board),
    )


def service_state(board: Board) -> ServiceState:
    """Return the one word for the whole: what it lacks comes before that it runs."""
    blocked = [project for project in board.projects.values() if project.why is not None]
    if board.phase != "running":
        return board.phase
    if blocked and len(blocked) == len(board.projects):
        return "blocked"
    return "degraded" if blocked or board.conditions else "running"


def _service(board: Board, now: datetime) -> Service:
    return Service(
        name="orchestrator",
        version=board.version,
        pid=board.pid,
        state=service_state(board),
        started_at=board.started_at,
        uptime_seconds=seconds_between(board.started_at, now),
        event_loop_lag_seconds=round(board.lag_seconds, 6),
    )


def queues(board: Board, live: tuple[Batch, ...]) -> Queues:
    """Count what waits for each stage."""
    states = Counter(batch.state for batch in live)
    unsent = Counter(batch.part.mode for batch in live if batch.state == "planned")
    sets = Counter(of.value.state for of in board.folds)
    return Queues(
        intake=board.drops,
        index=sets["received"],
        plan=sets["indexed"],
        upload=unsent["file"],
        submit=unsent["inline"] + states["uploaded"],
        in_doubt=sum(1 for batch in live if is_doubtful(batch)),
        watch=states["submitted"],
        collect=states["ended"],
        deliver=sum(
            1 for of in board.folds if of.value.state == "running" and not _busy(of.counts)
        ),
    )


def _busy(counts: BatchCounts) -> bool:
    waiting = counts.planned + counts.uploaded
    return waiting + counts.submitting + counts.submitted + counts.ended > 0


def _totals(board: Board, live: tuple[Batch, ...], now: datetime) -> TotalsView:
    going = [of for of in board.folds if of.value.state in {"indexed", "running"}]
    outcomes = [outcome(of) for of in going]
    requests = sum(of.value.info.requests for of in going)
    answered = sum(answered for answered, _ in outcomes)
    failed = sum(failed for _, failed in outcomes)
    oldest = min((b.submitted_at for b in live if isinstance(b, Submitted)), default=None)
    doubtful = sum(1 for batch in live if is_doubtful(batch))
    return TotalsView(
        sets=set_counts(board),
        batches=BatchCounts(**Counter(batch.state for batch in live), in_doubt=doubtful),
        requests=requests,
        answered=answered,
        failed=failed,
        open=requests - answered - failed,
        oldest_job_age_seconds=None if oldest is None else seconds_between(oldest, now),
        spent_today=dollars(board.money.today),
        spent=dollars(board.money.ever),
        incidents=sum(board.incidents.values()),
    )


def set_counts(board: Board) -> SetCounts:
    """Count the sets by what is shown of them."""
    shown: Counter[str] = Counter(display(of.value, of.flags) for of in board.folds)
    return SetCounts(**shown)


def _scan(board: Board) -> ScanView | None:
    if board.looked is None:
        return None
    return ScanView(at=board.looked.at, jobs=board.looked.jobs, strays=board.strays)


def _project(project: Project, live: tuple[Batch, ...]) -> ProjectView:
    active = [b for b in live if isinstance(b, Submitted) and b.part.project == project.name]
    tokens: Counter[str] = Counter()
    for batch in active:
        tokens[batch.part.model] += batch.part.tokens
    return ProjectView(
        name=project.name,
        blocked=project.why is not None,
        reason=project.why,
        remedy=project.remedy or None,
        since=project.since,
        active_jobs=len(active),
        active_jobs_max=project.active_jobs_max,
        enqueued_tokens=dict(tokens),
    )
