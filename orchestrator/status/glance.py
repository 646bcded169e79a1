"""The whole daemon at a glance, made from the board."""

from datetime import datetime

from orchestrator.domain.batches import Usage
from orchestrator.status.board import Board, Project
from orchestrator.status.figures import dollars, seconds_between
from orchestrator.status.status_views import (
    ProjectView,
    Queues,
    ReadingView,
    ScanView,
    Service,
    ServiceState,
    StatusView,
    TotalsView,
)


def status_view(board: Board, now: datetime) -> StatusView:
    """Show the whole daemon as of now."""
    return StatusView(
        service=_service(board, now),
        conditions=board.conditions,
        queues=queues(board),
        totals=_totals(board, now),
        projects=[_project(project, board) for project in board.projects.values()],
        reading=[
            ReadingView(name=name, bytes_done=done, bytes_total=total)
            for name, (done, total) in board.reading.items()
        ],
        last_scan=_scan(board),
        incidents=list(board.newest_incidents),
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


def queues(board: Board) -> Queues:
    """Count what waits for each stage."""
    sums = board.sums
    return Queues(
        intake=board.drops,
        index=sums.set_states["received"],
        plan=sums.set_states["indexed"],
        upload=sums.unsent["file"],
        submit=sums.unsent["inline"] + sums.states["uploaded"],
        in_doubt=sums.doubtful,
        watch=sums.states["submitted"],
        collect=sums.states["ended"],
        deliver=sums.undelivered,
    )


def _totals(board: Board, now: datetime) -> TotalsView:
    sums = board.sums
    oldest = sums.oldest_job
    used = [model for model, usage in sums.used.items() if usage != Usage()]
    unpriced = sorted(model for model in used if board.cost(model, Usage()) is None)
    known = bool(board.money.ever) or not unpriced or len(unpriced) < len(used)
    return TotalsView(
        sets=sums.sets,
        batches=sums.batches,
        requests=sums.requests,
        answered=sums.answered,
        failed=sums.failed,
        open=sums.open,
        oldest_job_age_seconds=None if oldest is None else seconds_between(oldest, now),
        spent_today=dollars(board.money.today) if known else None,
        spent=dollars(board.money.ever) if known else None,
        unpriced=unpriced,
        incidents=sum(board.incidents.values()),
    )


def _scan(board: Board) -> ScanView | None:
    if board.looked is None:
        return None
    return ScanView(at=board.looked.at, jobs=board.looked.jobs, strays=board.strays)


def _project(project: Project, board: Board) -> ProjectView:
    sums = board.sums
    return ProjectView(
        name=project.name,
        blocked=project.why is not None,
        reason=project.why,
        remedy=project.remedy or None,
        since=project.since,
        active_jobs=sums.jobs[project.name],
        active_jobs_max=project.active_jobs_max,
        enqueued_tokens={
            model: tokens for (name, model), tokens in sums.tokens.items() if name == project.name
        },
        waits_for=board.waits_for,
    )
