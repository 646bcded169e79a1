"""The folders: the daemon's own work, and what is delivered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from orchestrator.domain.batches import Kind, Mode, Part, Tally, Usage
from orchestrator.domain.ids import (
    ContentHash,
    IdempotencyKey,
    JobName,
    Ordinal,
    SetId,
)
from orchestrator.domain.policy import Limits
from orchestrator.domain.request_sets import SetInfo, Totals
from orchestrator.ports.drops import Claim
from orchestrator.ports.provider import Body, Session, Sink


@dataclass(frozen=True, slots=True)
class IndexOrder:
    """How a claim is to be read. `defaults` is the request fragment as JSON, or None."""

    kind: Kind
    model: str
    defaults: str | None
    unique_keys: bool
    line_bytes_max: int
    flaws_kept_max: int
    shape: str  # "off" | "warn" | "flaw": what a misspelt or misplaced field is


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one reading of a claim found. Counts are requests (non-blank lines).

    `duplicates` counts keys that came before; `problem` is set when nothing can be read at all.
    `wire_bytes` sums the composed requests, `tokens` estimates them.
    """

    requests: int
    flawed: int
    duplicates: int
    warnings: int
    content: ContentHash
    content_bytes: int
    wire_bytes: int
    tokens: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """Turn what is in the pool into parts of one generation, outside the live envelopes.

    `tokens_max` bounds the estimated tokens of a batch, `tokens_per_byte` calibrates the estimate.
    `turned_away` counts, by their ranges, the batches of this generation for whose jobs there was
    no room: the next one of the same ranges has a token of its own.
    """

    request_set: SetId
    generation: int
    live: Sequence[tuple[Ordinal, Ordinal]]
    limits: Limits
    batch_bytes_max: int
    requests_max: int
    tokens_max: int | None
    tokens_per_byte: float
    kind: Kind
    model: str
    first_serial: int
    turned_away: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PartPlan:
    """One part as the planner cut it; its plan file, named by the token, is durable."""

    token: IdempotencyKey
    serial: int
    lo: Ordinal
    hi: Ordinal
    count: int
    wire_bytes: int
    tokens: int
    ranges: str
    mode: Mode


def part_of(info: SetInfo, generation: int, plan: PartPlan) -> Part:
    """Return the batch that a plan of this set and generation describes."""
    return Part(
        token=plan.token,
        request_set=info.id,
        serial=plan.serial,
        generation=generation,
        lo=plan.lo,
        hi=plan.hi,
        count=plan.count,
        wire_bytes=plan.wire_bytes,
        tokens=plan.tokens,
        ranges=plan.ranges,
        mode=plan.mode,
        kind=info.kind,
        model=info.model,
        project=info.project,
    )


@dataclass(frozen=True, slots=True)
class JoinOrder:
    """How the answers of one ended batch become facts of the index.

    `last` is True when no further generation may follow: what is retryable then settles.
    `as_it_is` is True when downloading again did not help: what looks cut short is joined, unless
    it has fewer lines than `least`.
    """

    part: Part
    job: JobName
    retryable: frozenset[int]
    last: bool
    as_it_is: bool = False
    least: int = 0


@dataclass(frozen=True, slots=True)
class JoinReport:
    """What the answers of one batch were; `foreign` counts keys that were not asked for.

    `whole` is False when the answers look cut short or lack some (and were not to be taken as
    they are): nothing was settled, download again. With `foreign` ones nothing is settled either.
    """

    tally: Tally
    usage: Usage
    lines: int
    doubled: int
    foreign: int
    malformed: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """A published folder: its name, what came out, the digest of summary.json, how it ended."""

    outbox: str
    totals: Totals
    summary_sha256: str
    cancelled: bool = False


class Work(Protocol):
    """The daemon's own folder: claimed sources, indexes, plans, answers."""

    async def index(self, claim: Claim, order: IndexOrder) -> IndexReport:
        """Read a claim once and write its index files; the same again gives the same."""

    async def index_together(
        self, orders: Sequence[tuple[Claim, IndexOrder]]
    ) -> Sequence[IndexReport | None]:
        """Read claims that are small; None for each that `index` has to read."""

    async def name_run(self, claim: Claim, run: int, copy: int) -> None:
        """Fix durably which run this drop is, before a name derived from it is used."""

    async def name_runs(self, named: Sequence[tuple[Claim, int, int]]) -> None:
        """Fix durably which (claim, run, copy) each of these is, all at once."""

    async def plan(self, folder: str, order: PlanOrder) -> Sequence[PartPlan]:
        """Cut the pool; plan files are durable before this returns. Empty if the pool is."""

    async def planned(self, folder: str) -> Mapping[IdempotencyKey, PartPlan]:
        """Return every plan file that lies in a set's folder."""

    async def open_count(self, folder: str) -> int:
        """Return how many requests are not settled."""

    async def sample(self, folder: str, most: int) -> Sequence[bytes]:
        """Return some requests of a set as they are sent, spread evenly over it."""

    def body(self, folder: str, part: Part) -> Body:
        """Compose what `part` sends: its input file, or its whole inline request body."""

    def session(self, folder: str, part: Part, upload: int) -> Session:
        """Return where the URL of this upload is journaled (mode 0600)."""

    async def mark_sent(self, folder: str, token: IdempotencyKey) -> None:
        """Leave a durable mark beside the plan that a create is about to be sent."""

    async def unmark_sent(self, folder: str, token: IdempotencyKey) -> None:
        """Take the mark back: the create was certainly not carried out."""

    async def sent(self, folder: str, token: IdempotencyKey) -> bool:
        """Tell whether the mark is there; a rolled-back ledger does not know of it."""

    async def pending(self, folder: str, token: IdempotencyKey) -> bool:
        """Tell whether a create of this plan may have been sent and its answers are still due.

        True when the mark is there and a request of its ranges is unsettled and was not tried
        in the plan's generation yet: asked for plans that the ledger does not know.
        """

    def answers(self, folder: str, token: IdempotencyKey) -> Sink:
        """Return the temporary file into which a batch's answers are downloaded."""

    async def keep_answers(self, folder: str, token: IdempotencyKey) -> None:
        """Make the downloaded answers durable under their final name."""

    async def have_answers(self, folder: str, token: IdempotencyKey) -> bool:
        """Tell whether whole answers of this batch are on disk already."""

    async def drop_answers(self, folder: str, token: IdempotencyKey) -> None:
        """Throw away answers that turned out not to be whole."""

    async def join(self, folder: str, order: JoinOrder) -> JoinReport:
        """Pair answers with ordinals and write the index, durably; repeatable."""

    async def release(
        self, folder: str, part: Part, last: str | None, code: int, told: str | None = None
    ) -> int:
        """Let a batch without answers go: count the try; settle what is left as errors.

        `last` is why its unsettled requests settle, None to give them back to the pool: then
        `told` says for the history of each what became of this try. Returns how many it settled.
        """

    async def settle_line(self, folder: str, part: Part, line: int, message: str) -> bool:
        """Settle the request on the 1-based line of the sent file as an error (refused)."""

    async def settle_all(self, folder: str, code: int, status: str, message: str) -> int:
        """Settle whatever is still open as an error; returns how many."""

    async def reopen(self, folder: str) -> int:
        """Put the failed requests back into the pool (not the flawed); returns how many."""

    async def taken(self, folder: str) -> int:
        """Return how many bytes of disk a set's folder takes; 0 when it is not there."""

    async def remove(self, folder: str) -> None:
        """Remove a set's folder once its results are safe."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A folder in `rejected/`: since when it is whole, and how many bytes of disk it takes."""

    name: str
    at: datetime
    size: int


class Outbox(Protocol):
    """Where results go. The commit point of a folder is its summary.json."""

    async def publish(
        self, info: SetInfo, summary: Mapping[str, object], since: str | None
    ) -> Delivery:
        """Write the results of a set in input order and, last, its summary; repeatable.

        `since` names the folder in `work/` whose answers are used when it is another set's.
        """

    async def finished(self, infos: Sequence[SetInfo]) -> Sequence[SetId]:
        """Return those of the sets in whose folder a summary.json lies, whoever's it is."""

    async def delivered(self, info: SetInfo) -> Delivery | None:
        """Return what lies in the set's folder if it is this very set's, and whole to the byte."""

    async def publish_part(self, info: SetInfo, part: Part) -> None:
        """Write one batch's results early, under `parts/`."""

    async def reject(self, info: SetInfo, reason: str, summary: Mapping[str, object]) -> None:
        """Move a refused input with its flaws to `rejected/`; repeatable."""

    async def refusals(self) -> Sequence[Refusal]:
        """Return what lies whole in `rejected/`."""

    async def forget(self, refusal: Refusal) -> None:
        """Remove what was refused, unless another refusal has taken its place; repeatable."""
