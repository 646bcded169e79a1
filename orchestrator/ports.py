"""What the stages need from the world, and the three answers a provider can give.

The answers are named by what the caller may do next: `Refused` (certainly not created; do not
repeat as is), `Unavailable` (certainly not created; repeat), `InDoubt` (may exist; ask first).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from orchestrator.domain.batches import Kind, Mode, Part, Tally, Usage
from orchestrator.domain.evidence import Evidence
from orchestrator.domain.ids import (
    AccountFingerprint,
    ContentHash,
    FileName,
    IdempotencyKey,
    JobName,
    Ordinal,
    SetId,
)
from orchestrator.domain.jobs import JobSnapshot, Scan, Seen
from orchestrator.domain.policy import Limits
from orchestrator.domain.request_sets import SetInfo, Totals

# ---- the provider -----------------------------------------------------------------------------


class Trouble(Exception):
    """A call to the provider that did not do what was asked. Never carries a secret."""


class Refused(Trouble):
    """Certainly not done, and never will be as it stands.

    `code` is the HTTP status, `message` the service's own words, `line` the 1-based line of
    the input that it named, if any.
    """

    def __init__(self, code: int, status: str, message: str, line: int | None = None) -> None:
        super().__init__(f"{code} {status}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.line = line


class Unavailable(Trouble):
    """Certainly not done; it may be repeated, not before `retry_after` if that is given.

    `overloaded` is True for 429: the caller asks for less, not only later.
    """

    def __init__(
        self, why: str, retry_after: timedelta | None = None, *, overloaded: bool = False
    ) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.overloaded = overloaded


class Blocked(Unavailable):
    """Certainly not done, and nothing will be for this project until `remedy` was followed."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}")
        self.why = why
        self.remedy = remedy


class InDoubt(Trouble):
    """It may have taken effect. Only for creates: ask the list before anything is sent again."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An input file at the provider. `sha256` is lower-case hex, None where it was not told."""

    name: FileName
    size: int
    sha256: str | None
    state: str  # "active" | "processing" | "failed" | anything new, lower-case
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class Output:
    """Where the answers of an ended job are: a result file, or inline in the job itself."""

    job: JobName
    file: FileName | None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as the service describes it; `methods` as in supportedGenerationMethods."""

    name: str
    methods: frozenset[str]


class Body(Protocol):
    """Bytes that can be sent from any offset, composed on the fly from a claimed source.

    `size` is exact. `pieces(offset)` yields at most 256 KiB at a time and checks the source
    against its digests as it reads: a changed source raises `SourceChanged`.
    `sha256()` is the digest of all `size` bytes in hex; it may have to read them all.
    """

    @property
    def size(self) -> int: ...
    def pieces(self, offset: int = 0) -> AsyncIterator[bytes]: ...
    async def sha256(self) -> str: ...


class Sink(Protocol):
    """Where downloaded bytes go: appended, and started anew when the server cannot resume."""

    @property
    def size(self) -> int: ...
    def append(self, piece: bytes) -> None: ...
    def restart(self) -> None: ...


class OutboxTaken(Exception):
    """The reserved outbox name belongs to somebody else: deliver under another."""


class SourceGone(Exception):
    """The answers of a first run are no longer there: the drop has to be run for itself."""


class SourceChanged(Exception):
    """The claimed input is no longer what was read at intake; nothing may be sent from it."""


class Jobs(Protocol):
    """The provider's batch jobs. Every method may raise `Unavailable` (also `Blocked`)."""

    @property
    def account(self) -> AccountFingerprint:
        """Which account the present key belongs to."""

    async def create(self, part: Part, file: FileName | None, body: Body | None) -> JobSnapshot:
        """Create the job of `part`: from `file`, or inline with `body` as the whole request body.

        Sent once, without retry or redirect. Raises Refused, Unavailable or InDoubt.
        """

    async def scan(self) -> Scan:
        """Walk the whole job list. A page that cannot be had makes the scan incomplete."""

    async def look(self, job: JobName) -> Seen:
        """Ask for one job, without its inline results."""

    async def cancel(self, job: JobName) -> None:
        """Ask for a job to be cancelled; that it is too late for that is no error."""

    async def delete(self, job: JobName) -> None:
        """Delete a job and its output; that it is gone already is no error."""

    async def download(self, output: Output, sink: Sink) -> None:
        """Stream the answers into `sink`, one wire line per request, resuming at its size.

        Raises Refused when the service says that there is no such output (now).
        """

    async def model(self, name: str) -> ModelInfo | None:
        """Describe a model, None if the service does not know it."""

    async def models(self) -> Sequence[ModelInfo]:
        """List all models that the service knows."""


class Files(Protocol):
    """The provider's input files, and the resumable upload. May raise `Unavailable`."""

    async def find(self, name: FileName) -> StoredFile | None:
        """Ask for a file by its chosen name; None if it is not there (or not ours)."""

    async def upload(self, name: FileName, body: Body, session: "Session") -> StoredFile:
        """Upload `body` under a chosen name, going on with the journaled session if there is one.

        Raises Refused when the service will not take it (the name may be used already).
        """

    async def delete(self, name: FileName) -> None:
        """Delete a file; that it is gone already is no error."""


class Session(Protocol):
    """The journaled URL of one resumable upload: a capability, so a secret."""

    def load(self) -> str | None: ...
    def save(self, url: str) -> None: ...
    def forget(self) -> None: ...


# ---- the folders ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drop:
    """Something complete in the inbox that may be claimed. `name` is safe to show."""

    name: str
    profile: str
    raw: bytes  # the path below the inbox, as bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """A drop that is ours: moved to `work/<folder>`, immutable, with its meta data durable.

    `trouble` is set for what may never be opened (a symlink, a FIFO, …) or cannot be read.
    `options` is the text of NAME.toml or set.toml, None if there was none.
    `run` and `copy` were fixed before use, if the set was named already in an earlier life.
    """

    folder: str
    name: str
    profile: str
    options: str | None
    run: int
    copy: int
    trouble: str | None


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
    `as_it_is` is True when downloading again did not help: what looks cut short is joined.
    """

    part: Part
    job: JobName
    retryable: frozenset[int]
    last: bool
    as_it_is: bool = False


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
    """A published folder: its final name, what came out and the digest of summary.json."""

    outbox: str
    totals: Totals
    summary_sha256: str


class Inbox(Protocol):
    """The watched folder. The scan is the truth; a watcher only rings early."""

    async def scan(self) -> Sequence[Drop]:
        """Return what is complete, oldest first."""

    async def claim(self, drop: Drop) -> Claim | None:
        """Make a drop ours, durably; None if it went away or is not complete after all."""

    async def claims(self) -> Sequence[Claim]:
        """Return all claims that lie in `work/`, whatever became of them."""

    def wake(self) -> AsyncIterator[None]:
        """Yield whenever a scan may find something new."""


class Work(Protocol):
    """The daemon's own folder: claimed sources, indexes, plans, answers."""

    async def index(self, claim: Claim, order: IndexOrder) -> IndexReport:
        """Read a claim once and write its index files; the same again gives the same."""

    async def name_run(self, claim: Claim, run: int, copy: int) -> None:
        """Fix durably which run this drop is, before a name derived from it is used."""

    async def plan(self, folder: str, order: PlanOrder) -> Sequence[PartPlan]:
        """Cut the pool; plan files are durable before this returns. Empty if the pool is."""

    async def planned(self, folder: str) -> Mapping[IdempotencyKey, PartPlan]:
        """Return every plan file that lies in a set's folder."""

    async def open_count(self, folder: str) -> int:
        """Return how many requests are not settled."""

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


class Outbox(Protocol):
    """Where results go. The commit point of a folder is its summary.json."""

    async def publish(
        self, info: SetInfo, summary: Mapping[str, object], since: str | None
    ) -> Delivery:
        """Write the results of a set in input order and, last, its summary; repeatable.

        `since` names the folder in `work/` whose answers are used when it is another set's.
        """

    async def publish_part(self, info: SetInfo, part: Part) -> None:
        """Write one batch's results early, under `parts/`."""

    async def reject(self, info: SetInfo, reason: str, summary: Mapping[str, object]) -> None:
        """Move a refused input with its flaws to `rejected/`; repeatable."""


# ---- time and chance --------------------------------------------------------------------------


class Clock(Protocol):
    """Two clocks: one to show, one to wait by."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC: for display and for slack of hours."""

    def elapsed(self) -> float:
        """Return seconds on a clock that never jumps and goes on through suspend."""

    async def sleep(self, duration: timedelta) -> None: ...


class Ids(Protocol):
    """The only source of chance."""

    def jitter(self) -> float:
        """Return a number in [0, 1)."""


# ---- the project ------------------------------------------------------------------------------


class Project(Protocol):
    """The present condition of one account, shared by the stages and told by the daemon.

    What it says is advice and patience; what must hold is guarded by the ledger.
    """

    @property
    def evidence(self) -> Evidence:
        """What the job lists of this life prove."""

    @property
    def sending(self) -> "Sending":
        """What creates are under way in this life."""

    def obstacle(self) -> str | None:
        """Tell why nothing new may start at the provider now, None if it may."""

    def limits(self) -> Limits:
        """Return what the project may hold."""

    def token_limit(self, model: str) -> int | None:
        """Return the present limit of enqueued tokens of a model, None where none is known."""

    def others(self) -> int:
        """Return how many active jobs of the project are not ours."""

    def look_at(self, when: float) -> None:
        """Ask for a scan of the job list at this time (elapsed seconds) at the latest."""

    def next_scan(self) -> float:
        """Return when (elapsed seconds) the next scan is due."""

    def scanned(self, wait: timedelta | None) -> None:
        """Note that a scan was made; the next is due after `wait`, None for as seldom as may be."""

    def backed_off(self, wait: timedelta) -> None:
        """Note that a scan failed: nobody's wish brings the next one earlier."""

    def saw(self, scan: Scan) -> None:
        """Note what a scan showed: states, and what others run."""

    async def afford(self, part: Part) -> str | None:
        """Tell which cap on cost this batch would break, None if it may be paid."""

    async def price(self, part: Part, usage: Usage) -> int | None:
        """Return what this usage costs in millionths of a US dollar, None if no price is set."""

    async def block(self, blocked: Blocked, call: str) -> None:
        """Stop all submissions: this call was refused until the remedy was followed.

        From time to time one more try is let through, so that it goes on by itself.
        """

    async def accepted(self, call: str) -> None:
        """Note that this call is served (again); a create that is served ends every block."""

    async def ease(self, part: Part) -> None:
        """Ask for less of its model from now on: this batch was too much."""

    async def hold(self, request_set: SetId, why: str) -> None:
        """Start nothing new for a set until the operator has spoken; `why` says what to do."""

    def report(self, kind: str, subject: str, why: str | None) -> None:
        """Show that something needs a look, as long as it lasts; None when it is well again."""

    async def book(self, kind: str, part: Part | None, detail: str) -> None:
        """Book an incident with its probable cost."""


@dataclass(slots=True)
class Sending:
    """What submissions remember within one life; a restart begins anew, which only waits longer.

    `now` are the creates under way; `failures` counts refusals to serve in a row; `fresh_after`
    tells since when a scan is due before a create may be repeated; `doubtful` and `fenced` when
    (elapsed seconds) a doubt and its fence began; `rests` by model how often in a row the provider
    had no room for it, and until when (elapsed seconds) it is left alone.
    """

    now: set[IdempotencyKey] = field(default_factory=set)
    failures: dict[IdempotencyKey, int] = field(default_factory=dict)
    fresh_after: dict[IdempotencyKey, float] = field(default_factory=dict)
    doubtful: dict[IdempotencyKey, float] = field(default_factory=dict)
    fenced: dict[IdempotencyKey, float] = field(default_factory=dict)
    next_create: float = 0.0
    rests: dict[str, tuple[int, float]] = field(default_factory=dict)

    def rest(self, model: str, now: float, patience: Callable[[int], timedelta]) -> None:
        """Send nothing for a model for a while: `patience` says how long after n times in a row.

        Refusals of creates that were under way together are one time.
        """
        times, until = self.rests.get(model, (0, now))
        if until <= now:
            times += 1
        self.rests[model] = times, max(until, now + patience(times).total_seconds())

    def is_resting(self, model: str, now: float) -> bool:
        """Tell whether nothing is to be sent for a model now."""
        return model in self.rests and self.rests[model][1] > now


class Notifier(Protocol):
    """Tells the operator's own programs."""

    async def send(self, number: int, kind: str, body: str) -> None:
        """Hand over one notice (JSON text). Raises Unavailable when it was not taken."""
