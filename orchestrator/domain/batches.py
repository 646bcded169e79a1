"""The batch machine: a part of a set that becomes at most one job, ever.

Whatever affects the machine lives in this file. There is no way to write "drop a batch that is
in doubt": `drop` takes an `Unsent`, `lapse` an `Ended`, and from `Submitting` only evidence leads
out.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal, TypeAlias

from orchestrator.domain.ids import (
    AccountFingerprint,
    FileName,
    IdempotencyKey,
    JobName,
    Ordinal,
    ProjectName,
    SetId,
)
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.moves import Move, edges

Kind: TypeAlias = Literal["generate", "embed"]
Mode: TypeAlias = Literal["inline", "file"]
Doubt: TypeAlias = Literal["sending", "in_doubt", "fenced", "held"]


class LapseReason(StrEnum):
    """Why a batch ended without answers of its own."""

    DROPPED = "dropped"  # never sent: its set was cancelled or planned anew
    REFUSED = "refused"  # the service said no; certainly never created
    INVALID = "invalid"  # one of its requests is at fault: split, which is no try
    ABSENT = "absent"  # in doubt, then proven absent and fenced
    VANISHED = "vanished"  # the job is gone: its results were delivered, or the operator says so
    EXPIRED = "expired"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Part:
    """What never changes about a batch.

    `[lo, hi)` is the envelope of its ordinals, `count` how many of them it really holds; the
    exact ranges lie in the set's plan file of this token and `ranges` is their digest.
    `wire_bytes` is the exact length of what is sent: the whole input file, or the whole request
    body of an inline create. `serial` numbers the set's batches from 1.
    """

    token: IdempotencyKey
    request_set: SetId
    serial: int
    generation: int
    lo: Ordinal
    hi: Ordinal
    count: int
    wire_bytes: int
    tokens: int
    ranges: str
    mode: Mode
    kind: Kind
    model: str
    project: ProjectName


@dataclass(frozen=True, slots=True)
class Tally:
    """How the requests of one batch came out; the five add up to the batch's count.

    `retryable` and `missing` went back to the pool, `given_up` settled as an error because the
    last generation was reached.
    """

    answered: int = 0
    failed: int = 0
    retryable: int = 0
    missing: int = 0
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that the service says it counted, summed over the answers of a batch."""

    prompt: int = 0
    cached: int = 0
    candidates: int = 0
    thoughts: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt + other.prompt,
            self.cached + other.cached,
            self.candidates + other.candidates,
            self.thoughts + other.thoughts,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """Its ranges are on disk; nothing of it is at the provider that we rely on.

    `upload` is the number of the file name in use: it grows each time the content of an
    earlier name cannot be trusted, before that upload starts.
    """

    state: ClassVar = "planned"
    part: Part
    upload: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Its input file is at the provider, whole and verified."""

    state: ClassVar = "uploaded"
    part: Part
    upload: int
    file: FileName
    file_expires: datetime
    not_before: datetime


Unsent: TypeAlias = Planned | Uploaded


@dataclass(frozen=True, slots=True)
class Submitting:
    """The intent is on disk. Whether the job exists is unknown until confirmed or withdrawn."""

    state: ClassVar = "submitting"
    origin: Unsent  # a withdrawal goes back there
    intended_at: datetime
    account: AccountFingerprint
    epoch: int  # which life of the daemon sent it
    doubt: Doubt

    @property
    def part(self) -> Part:
        """What never changes about the batch."""
        return self.origin.part


@dataclass(frozen=True, slots=True)
class Submitted:
    """Its job exists: the create was answered, or the job was found by its token."""

    state: ClassVar = "submitted"
    part: Part
    file: FileName | None
    job: JobName
    account: AccountFingerprint
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The provider says that the job is over; its output, if any, is not yet on our disk."""

    state: ClassVar = "ended"
    part: Part
    file: FileName | None
    job: JobName
    account: AccountFingerprint
    submitted_at: datetime
    ended_at: datetime
    outcome: JobState
    error: JobError | None


@dataclass(frozen=True, slots=True)
class Collected:
    """Its answers are on our disk and counted."""

    state: ClassVar = "collected"
    part: Part
    file: FileName | None
    job: JobName
    account: AccountFingerprint
    submitted_at: datetime
    ended_at: datetime
    outcome: JobState
    error: JobError | None
    collected_at: datetime
    tally: Tally
    usage: Usage


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Over without an answer; what it held is back in the pool. `detail` is for people."""

    state: ClassVar = "lapsed"
    part: Part
    reason: LapseReason
    detail: str
    lapsed_at: datetime


Batch: TypeAlias = Planned | Uploaded | Submitting | Submitted | Ended | Collected | Lapsed
Live: TypeAlias = Planned | Uploaded | Submitting | Submitted | Ended

BatchEdge: TypeAlias = (
    Move[Planned, Planned]  # renew: the next upload takes a new name, or waits
    | Move[Planned, Uploaded]  # stow: its input file is at the provider
    | Move[Uploaded, Planned]  # forget: the file is gone there (48 h); upload again
    | Move[Uploaded, Uploaded]  # postpone: not before a later time
    | Move[Unsent, Submitting]  # intend; inline batches skip Uploaded
    | Move[Unsent, Lapsed]  # drop: the set was cancelled
    | Move[Submitting, Unsent]  # withdraw: certainly not created; try later, same token
    | Move[Submitting, Submitting]  # question: sending, in doubt, then fenced or held
    | Move[Submitting, Submitted]  # confirm: answered, or found by its token
    | Move[Submitting, Lapsed]  # refuse: certainly never created; exclude: proven absent
    | Move[Submitted, Ended]  # end: the provider says that it is over, however it ended
    | Move[Submitted, Lapsed]  # vanish: gone there; by the outbox or the operator only
    | Move[Ended, Collected]  # collect: its answers are on our disk
    | Move[Ended, Lapsed]  # lapse: expired, failed or cancelled, and no output to be had
)
BATCH_EDGES = edges(BatchEdge)
LIVE_STATES = frozenset({"planned", "uploaded", "submitting", "submitted", "ended"})


def renew(batch: Planned, upload: int, not_before: datetime, why: str) -> Move[Planned, Planned]:
    """Let the next upload use the name number `upload`, not before a time."""
    return Move(batch, replace(batch, upload=upload, not_before=not_before), why)


def postpone(batch: Uploaded, not_before: datetime, why: str) -> Move[Uploaded, Uploaded]:
    """Let an uploaded batch wait."""
    return Move(batch, replace(batch, not_before=not_before), why)


def stow(batch: Planned, file: FileName, expires: datetime) -> Move[Planned, Uploaded]:
    """Record that the input file is at the provider, verified."""
    return Move(
        batch, Uploaded(batch.part, batch.upload, file, expires, batch.not_before), "verified"
    )


def forget(batch: Uploaded, not_before: datetime, why: str) -> Move[Uploaded, Planned]:
    """Upload again, under the next name: the old file is gone or cannot be trusted."""
    return Move(batch, Planned(batch.part, batch.upload + 1, not_before), why)


def intend(
    batch: Unsent, now: datetime, account: AccountFingerprint, epoch: int
) -> Move[Unsent, Submitting]:
    """Journal the intent. It must be committed before the first byte of the create is sent."""
    return Move(batch, Submitting(batch, now, account, epoch, "sending"))


def drop(batch: Unsent, now: datetime, why: str) -> Move[Unsent, Lapsed]:
    """Give up a batch that was certainly never sent."""
    return Move(batch, Lapsed(batch.part, LapseReason.DROPPED, why, now), why)


def withdraw(batch: Submitting, not_before: datetime, why: str) -> Move[Submitting, Unsent]:
    """Take the intent back: the job was certainly not created."""
    return Move(batch, replace(batch.origin, not_before=not_before), why)


def question(batch: Submitting, doubt: Doubt, why: str) -> Move[Submitting, Submitting]:
    """Record how far the doubt has come."""
    return Move(batch, replace(batch, doubt=doubt), why)


def confirm(
    batch: Submitting, job: JobName, now: datetime, why: str
) -> Move[Submitting, Submitted]:
    """Record the job: the create was answered, or the job was found by its token."""
    file = batch.origin.file if isinstance(batch.origin, Uploaded) else None
    return Move(batch, Submitted(batch.part, file, job, batch.account, now), why)


def refuse(
    batch: Submitting, now: datetime, why: str, reason: LapseReason = LapseReason.REFUSED
) -> Move[Submitting, Lapsed]:
    """Record a definite no: this job will never exist."""
    return Move(batch, Lapsed(batch.part, reason, why, now), why)


def exclude(batch: Submitting, now: datetime, why: str) -> Move[Submitting, Lapsed]:
    """Record that the doubtful job was proven absent."""
    return Move(batch, Lapsed(batch.part, LapseReason.ABSENT, why, now), why)


def end(
    batch: Submitted, outcome: JobState, error: JobError | None, now: datetime
) -> Move[Submitted, Ended]:
    """Record that the provider says it is over."""
    ended = Ended(
        batch.part, batch.file, batch.job, batch.account, batch.submitted_at, now, outcome, error
    )
    return Move(batch, ended, outcome.value)


def vanish(batch: Submitted, now: datetime, why: str) -> Move[Submitted, Lapsed]:
    """Give up a job that the provider no longer knows.

    Only the operator may say so, or the outbox, where its answers lie.
    """
    return Move(batch, Lapsed(batch.part, LapseReason.VANISHED, why, now), why)


def collect(batch: Ended, tally: Tally, usage: Usage, now: datetime) -> Move[Ended, Collected]:
    """Record that the answers are on our disk, durable and counted."""
    collected = Collected(
        batch.part,
        batch.file,
        batch.job,
        batch.account,
        batch.submitted_at,
        batch.ended_at,
        batch.outcome,
        batch.error,
        now,
        tally,
        usage,
    )
    return Move(batch, collected)


def lapse(batch: Ended, reason: LapseReason, now: datetime, why: str) -> Move[Ended, Lapsed]:
    """Record that the job ended without output to be had."""
    return Move(batch, Lapsed(batch.part, reason, why, now), why)


def is_live(batch: Batch) -> bool:
    """Tell whether the batch may still bring answers."""
    return batch.state in LIVE_STATES
