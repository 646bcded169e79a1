"""The sums over all sets and live batches, made once for each change and not for each reader."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.batches import Batch, Submitted, Submitting, Usage
from orchestrator.domain.ids import ProjectName
from orchestrator.status.batches_shown import is_doubtful
from orchestrator.status.sets_shown import SetFold, display, outcome
from orchestrator.status.views import BatchCounts, SetCounts

GOING = frozenset({"indexed", "running"})


@dataclass(frozen=True, slots=True)
class Sums:
    """What there is. Requests are those of accepted sets that are open; batches those that live.

    `sets` counts by what is shown, `set_states` by the machine's word; `undelivered` sets run
    and have no live batch. `unsent` counts planned batches by mode. `used` are the tokens that were
    counted for each model's answers.
    """

    sets: SetCounts
    set_states: Counter[str]
    undelivered: int
    requests: int
    answered: int
    failed: int
    oldest_set: datetime | None
    states: Counter[str]
    unsent: Counter[str]
    unsent_bytes: int
    doubts: Counter[str]
    doubtful: int
    oldest_job: datetime | None
    oldest_doubt: datetime | None
    jobs: Counter[ProjectName]
    tokens: Counter[tuple[ProjectName, str]]
    used: Mapping[str, Usage]

    @property
    def batches(self) -> BatchCounts:
        """The live batches by state."""
        return BatchCounts(**self.states, in_doubt=self.doubtful)

    @property
    def open(self) -> int:
        """The requests without a final line."""
        return self.requests - self.answered - self.failed


def sum_up(folds: Iterable[SetFold], live: Iterable[Batch]) -> Sums:
    """Sum up all sets and all live batches."""
    sets, batches = tuple(folds), tuple(live)
    going = [of for of in sets if of.value.state in GOING]
    outcomes = [outcome(of) for of in going]
    running = [of for of in going if of.value.state == "running"]
    jobs = [batch for batch in batches if isinstance(batch, Submitted)]
    doubtful = [b for b in batches if isinstance(b, Submitting) and is_doubtful(b)]
    shown: Counter[str] = Counter(display(of.value, of.flags) for of in sets)
    tokens: Counter[tuple[ProjectName, str]] = Counter()
    for job in jobs:
        tokens[job.part.project, job.part.model] += job.part.tokens
    used: dict[str, Usage] = {}
    for of in sets:
        model = of.value.info.model
        used[model] = used.get(model, Usage()) + of.usage
    return Sums(
        sets=SetCounts(**shown),
        set_states=Counter(of.value.state for of in sets),
        undelivered=sum(1 for of in running if not _is_busy(of.counts)),
        requests=sum(of.value.info.requests for of in going),
        answered=sum(answered for answered, _ in outcomes),
        failed=sum(failed for _, failed in outcomes),
        oldest_set=min((of.value.info.received_at for of in running), default=None),
        states=Counter(batch.state for batch in batches),
        unsent=Counter(batch.part.mode for batch in batches if batch.state == "planned"),
        unsent_bytes=sum(
            batch.part.wire_bytes for batch in batches if batch.state in {"planned", "uploaded"}
        ),
        doubts=Counter(batch.doubt for batch in batches if isinstance(batch, Submitting)),
        doubtful=len(doubtful),
        oldest_job=min((job.submitted_at for job in jobs), default=None),
        oldest_doubt=min((batch.intended_at for batch in doubtful), default=None),
        jobs=Counter(job.part.project for job in jobs),
        tokens=tokens,
        used=used,
    )


def _is_busy(counts: BatchCounts) -> bool:
    waiting = counts.planned + counts.uploaded
    return waiting + counts.submitting + counts.submitted + counts.ended > 0
