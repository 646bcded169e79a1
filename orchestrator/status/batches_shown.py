"""From the ledger's batches to what is shown of them: pure."""

from datetime import datetime
from typing import assert_never, cast

from orchestrator.domain.batches import (
    Batch,
    Collected,
    Ended,
    Lapsed,
    Planned,
    Submitted,
    Submitting,
    Uploaded,
    Usage,
)
from orchestrator.domain.jobs import JobError
from orchestrator.status.figures import seconds_between
from orchestrator.status.views import (
    BatchState,
    BatchView,
    ErrorView,
    TallyView,
    UsageView,
)


def batch_view(
    batch: Batch, now: datetime, job_state: str | None, uploaded: int | None
) -> BatchView:
    """Show a batch; `job_state` and `uploaded` bytes are what was last heard of it."""
    part, begun = batch.part, submitted_at(batch)
    over = batch.ended_at if isinstance(batch, Ended | Collected) else None
    return BatchView(
        token=part.token,
        set_id=part.request_set,
        serial=part.serial,
        generation=part.generation,
        state=cast(BatchState, batch.state),
        doubt=batch.doubt if isinstance(batch, Submitting) else None,
        mode=part.mode,
        model=part.model,
        project=part.project,
        requests=part.count,
        bytes=part.wire_bytes,
        bytes_uploaded=uploaded if isinstance(batch, Planned) else None,
        tokens=part.tokens,
        job=batch.job if isinstance(batch, Submitted | Ended | Collected) else None,
        job_state=job_state,
        outcome=_batch_outcome(batch),
        detail=batch.detail if isinstance(batch, Lapsed) else None,
        error=_error(batch.error) if isinstance(batch, Ended | Collected) else None,
        not_before=batch.not_before if isinstance(batch, Planned | Uploaded) else None,
        submitted_at=begun,
        ended_at=over,
        collected_at=batch.collected_at if isinstance(batch, Collected) else None,
        age_seconds=None if begun is None else seconds_between(begun, over or now),
        tally=_tally(batch) if isinstance(batch, Collected) else None,
        usage=usage_view(batch.usage) if isinstance(batch, Collected) else None,
    )


def _batch_outcome(batch: Batch) -> str | None:
    if isinstance(batch, Lapsed):
        return batch.reason.value
    return batch.outcome.value if isinstance(batch, Ended | Collected) else None


def _error(error: JobError | None) -> ErrorView | None:
    return None if error is None else ErrorView(code=error.code, message=error.message)


def _tally(batch: Collected) -> TallyView:
    tally = batch.tally
    return TallyView(
        answered=tally.answered,
        failed=tally.failed,
        retryable=tally.retryable,
        missing=tally.missing,
        given_up=tally.given_up,
    )


def is_doubtful(batch: Batch) -> bool:
    """Tell whether nobody knows if the batch's job exists, and nobody is asking right now."""
    return isinstance(batch, Submitting) and batch.doubt != "sending"


def submitted_at(batch: Batch) -> datetime | None:
    """Return when the job of the batch came to be, None if it has none."""
    match batch:
        case Submitted() | Ended() | Collected():
            return batch.submitted_at
        case Planned() | Uploaded() | Submitting() | Lapsed():
            return None
        case _:
            assert_never(batch)


def usage_view(usage: Usage) -> UsageView:
    """Show token counts."""
    return UsageView(
        prompt_tokens=usage.prompt,
        cached_tokens=usage.cached,
        candidate_tokens=usage.candidates,
        thought_tokens=usage.thoughts,
    )
