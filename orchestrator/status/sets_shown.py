"""From the ledger's sets to what is shown of them: pure folds, kept until the set changes."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never, cast

from orchestrator.domain import doubts
from orchestrator.domain.batches import Batch, Collected, Submitted, Submitting, Usage, is_live
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Flags,
    Indexed,
    Received,
    Rejected,
    RequestSet,
    Running,
    SetInfo,
    is_open,
)
from orchestrator.status.batches_shown import is_doubtful, submitted_at, usage_view
from orchestrator.status.figures import dollars, seconds_between
from orchestrator.status.views import (
    BatchCounts,
    Display,
    SetState,
    SetView,
)

Cost: TypeAlias = Callable[[str, Usage], int | None]
"""What an amount of tokens costs with a model, in micro-dollars; None if nobody knows the price."""


NOTHING = Usage()
DISPLAYED: dict[str, Display] = {
    "received": "reading",
    "indexed": "queued",
    "running": "running",
    "delivered": "delivered",
    "rejected": "rejected",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class SetFold:
    """A set and everything that is summed over its batches."""

    value: RequestSet
    flags: Flags
    counts: BatchCounts = field(default_factory=BatchCounts)
    generation: int = 0
    answered: int = 0
    failed: int = 0
    pending: int = 0  # requests of batches that may still bring answers
    usage: Usage = field(default_factory=Usage)
    first_submitted: datetime | None = None
    oldest_live: datetime | None = None
    newest_live: datetime | None = None
    asked: tuple[Submitting, ...] = ()  # what waits for a word of the operator's


def fold(value: RequestSet, flags: Flags, batches: Iterable[Batch]) -> SetFold:
    """Sum up the batches of a set."""
    every = tuple(batches)
    collected = [batch for batch in every if isinstance(batch, Collected)]
    submitted = [at for batch in every if (at := submitted_at(batch)) is not None]
    live = [batch.submitted_at for batch in every if isinstance(batch, Submitted)]
    usage = Usage()
    for batch in collected:
        usage += batch.usage
    return SetFold(
        value=value,
        flags=flags,
        counts=_counts(every),
        generation=max((batch.part.generation for batch in every), default=0),
        answered=sum(batch.tally.answered for batch in collected),
        failed=sum(batch.tally.failed + batch.tally.given_up for batch in collected),
        pending=sum(batch.part.count for batch in every if is_live(batch)),
        usage=usage,
        first_submitted=min(submitted, default=None),
        oldest_live=min(live, default=None),
        newest_live=max(live, default=None),
        asked=tuple(
            batch for batch in every if isinstance(batch, Submitting) and batch.doubt == "held"
        ),
    )


def _counts(batches: tuple[Batch, ...]) -> BatchCounts:
    doubtful = sum(1 for batch in batches if is_doubtful(batch))
    return BatchCounts(**Counter(batch.state for batch in batches), in_doubt=doubtful)


def display(value: RequestSet, flags: Flags) -> Display:
    """Return the one word that a person wants to know about a set."""
    if is_open(value):
        if flags.cancel_asked:
            return "cancelling"
        if flags.held is not None:
            return "held"
        if flags.paused:
            return "paused"
    return DISPLAYED[value.state]


def set_view(
    of: SetFold, cost: Cost, ends: datetime | None, now: datetime, taught: Usage = NOTHING
) -> SetView:
    """Show a set; `ends` is when it is expected to be finished, `taught` what its model used."""
    info = of.value.info
    answered, failed = outcome(of)
    spent = cost(info.model, of.usage)
    reason, remedy = _reason(of)
    return SetView(
        id=info.id,
        name=info.name,
        profile=info.profile,
        project=info.project,
        kind=info.kind,
        model=info.model,
        priority=info.priority,
        state=cast(SetState, of.value.state),
        display=display(of.value, of.flags),
        reason=reason,
        remedy=remedy,
        requests=info.requests,
        answered=answered,
        failed=failed,
        open=info.requests - answered - failed,
        flawed=info.flawed,
        generation=of.generation,
        batches=of.counts,
        bytes=info.content_bytes,
        tokens=info.tokens,
        usage=usage_view(of.usage),
        cost=dollars(spent),
        cost_estimate=dollars(_estimate(of, cost, spent, answered, taught)),
        run=info.run,
        answered_from=info.answered_from,
        outbox=info.outbox or None,
        received_at=info.received_at,
        first_submitted_at=of.first_submitted,
        finished_at=finished_at(of.value),
        oldest_job_age_seconds=None
        if of.oldest_live is None
        else seconds_between(of.oldest_live, now),
        estimated_end_at=ends,
    )


def outcome(of: SetFold) -> tuple[int, int]:
    """Return how many requests were answered and how many settled as errors so far.

    While a set runs, what an earlier delivery left failed may have been sent again: what live
    batches hold is open, whatever became of it before.
    """
    info = of.value.info
    match of.value:
        case Delivered() | Cancelled():
            return of.value.totals.answered, of.value.totals.failed
        case Rejected():
            return 0, info.requests
        case Received():
            return 0, 0
        case Indexed() | Running():
            answered = min(of.answered, info.requests)
            settled = max(0, info.requests - answered - of.pending)
            return answered, min(of.failed + info.flawed, settled)
        case _:
            assert_never(of.value)


def finished_at(value: RequestSet) -> datetime | None:
    """Return when the set came to its end, None while it is open."""
    match value:
        case Delivered():
            return value.delivered_at
        case Rejected():
            return value.rejected_at
        case Cancelled():
            return value.cancelled_at
        case Received() | Indexed() | Running():
            return None
        case _:
            assert_never(value)


def _reason(of: SetFold) -> tuple[str | None, str | None]:
    if isinstance(of.value, Rejected):
        why, _, advice = of.value.reason.partition("; ")
        return why, _with_a_drop(advice) if advice else _correct(of.value.info)
    if of.flags.held is None or not is_open(of.value):
        return question(of) or (None, None)
    why, _, remedy = of.flags.held.partition("; ")
    return why, remedy or "see to the reason, then `orchestrator resume` the set"


def question(of: SetFold) -> tuple[str, str] | None:
    """Return what the operator is asked about batches in doubt, and how to answer; None: nothing.

    Of a set that is being cancelled nobody need be asked: nothing of it is sent again.
    """
    if not of.asked or of.flags.cancel_asked:
        return None
    return doubts.asked(of.value.info.id, [batch.part.token for batch in of.asked])


def _with_a_drop(advice: str) -> str:
    """Say that it has to come again, unless the advice says so itself."""
    return advice if "drop" in advice else f"{advice}; then drop it again"


def _correct(info: SetInfo) -> str:
    if not info.flawed:
        return "correct it and drop it again"
    return f"correct what rejected/{info.outbox or info.name}/flaws.jsonl names and drop it again"


def _estimate(
    of: SetFold, cost: Cost, spent: int | None, answered: int, taught: Usage
) -> int | None:
    """Extrapolate from what was answered; before that, from what the model's answers were like."""
    info = of.value.info
    if not is_open(of.value):
        return spent
    if spent is not None and answered > 0:
        return spent * (info.requests - info.flawed) // answered
    answers = 0 if info.kind == "embed" else info.tokens  # as long as the prompts, till we know
    if taught.prompt:
        answers = info.tokens * (taught.candidates + taught.thoughts) // taught.prompt
    return cost(info.model, Usage(prompt=info.tokens, candidates=answers))


def expected_end(
    of: SetFold, typical: timedelta | None, active_jobs_max: int, now: datetime
) -> datetime | None:
    """Guess when a set will be finished, from how long jobs of its model took of late."""
    if typical is None or not is_open(of.value) or of.flags.paused or of.flags.held is not None:
        return None
    running = of.newest_live + typical if of.newest_live else now
    unsent = of.counts.planned + of.counts.uploaded + of.counts.submitting
    waves = -(-unsent // max(1, active_jobs_max))
    if not of.counts.submitted + of.counts.ended + unsent:
        waves = 1 if of.generation == 0 else 0
    return max(running, now + waves * typical)
