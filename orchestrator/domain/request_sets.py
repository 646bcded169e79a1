"""The set machine: one drop, from its claim to its results.

`paused`, `held` and `cancel_asked` are flags of the row and no states: a set that is held is
still running, it only starts nothing new until the operator has spoken.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, TypeAlias

from orchestrator.domain.batches import Kind
from orchestrator.domain.ids import ContentHash, Fingerprint, ProjectName, SetId
from orchestrator.domain.moves import Move, edges


@dataclass(frozen=True, slots=True)
class SetInfo:
    """What never changes about a set once it was accepted.

    `folder` is its folder's name in `work/`, `outbox` the reserved name in `outbox/`,
    `options` the effective options as canonical JSON, `requests` the number of input lines that
    are not blank, `flawed` how many of them settled as flaws at intake.
    `answered_from` names the first run whose answers this drop gets; None for a run of its own.
    """

    id: SetId
    name: str
    profile: str
    project: ProjectName
    kind: Kind
    model: str
    folder: str
    outbox: str
    fingerprint: Fingerprint
    content: ContentHash
    content_bytes: int
    requests: int
    flawed: int
    tokens: int
    priority: int
    run: int
    options: str
    answered_from: SetId | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Flags:
    """What the operator or a fault laid upon a set; `held` says why and what to do.

    A hold ends by itself at `held_until`, if that is given. The others are what the operator's
    word has changed about caps on cost: the set has none of its own any more (`cap_lifted`), or
    this one (`cap_micros`); it may run without a price (`price_waived`); until
    `day_lifted_until` the cap of the day is none for it.
    """

    paused: bool = False
    cancel_asked: bool = False
    cap_lifted: bool = False
    held: str | None = None
    held_until: datetime | None = None
    cap_micros: int | None = None
    price_waived: bool = False
    day_lifted_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """How a finished set came out; answered + failed = requests."""

    answered: int
    failed: int


@dataclass(frozen=True, slots=True)
class Received:
    """Claimed, read once and registered; not yet accepted or rejected."""

    state: ClassVar = "received"
    info: SetInfo


@dataclass(frozen=True, slots=True)
class Indexed:
    """Accepted: every line has its place in the index files."""

    state: ClassVar = "indexed"
    info: SetInfo


@dataclass(frozen=True, slots=True)
class Running:
    """Batches of at least one generation were planned.

    `batch_bytes_max` is the present bound of a batch's size; expiries halve it.
    """

    state: ClassVar = "running"
    info: SetInfo
    batch_bytes_max: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """summary.json is on disk."""

    state: ClassVar = "delivered"
    info: SetInfo
    delivered_at: datetime
    totals: Totals
    summary_sha256: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Nothing of it was sent; the input and its flaws lie in `rejected/`."""

    state: ClassVar = "rejected"
    info: SetInfo
    reason: str
    rejected_at: datetime


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Ended at the operator's wish; what was answered is delivered."""

    state: ClassVar = "cancelled"
    info: SetInfo
    cancelled_at: datetime
    totals: Totals
    summary_sha256: str


RequestSet: TypeAlias = Received | Indexed | Running | Delivered | Rejected | Cancelled
Open: TypeAlias = Received | Indexed | Running

SetEdge: TypeAlias = (
    Move[Received, Indexed]  # index: every line has its place; flaws within the allowance
    | Move[Received, Rejected]  # reject: too many flaws, duplicate keys, nothing readable
    | Move[Indexed, Running]  # start: generation 1 is planned
    | Move[Indexed, Delivered]  # reuse: answered from a first run, or nothing to send
    | Move[Received, Received]
    | Move[Indexed, Indexed]  # rehome: the outbox name was taken
    | Move[Running, Running]  # narrow: an expiry halved the next batches; or rehome
    | Move[Running, Delivered]  # deliver: summary.json is on disk
    | Move[Delivered, Running]  # reopen: `retry` put its failures back into the pool
    | Move[Cancelled, Running]  # reopen: the same of what was cancelled
    | Move[Open, Cancelled]  # cancel: asked for, and no batch is live
)
SET_EDGES = edges(SetEdge)
OPEN_STATES = frozenset({"received", "indexed", "running"})


def index(request_set: Received, why: str = "") -> Move[Received, Indexed]:
    """Accept the set; `why` tells what could not be checked."""
    return Move(request_set, Indexed(request_set.info), why)


def reject(request_set: Received, reason: str, now: datetime) -> Move[Received, Rejected]:
    """Refuse the set as a whole; nothing of it was sent."""
    return Move(request_set, Rejected(request_set.info, reason, now), reason)


def start(request_set: Indexed, batch_bytes_max: int) -> Move[Indexed, Running]:
    """Begin: generation 1 is planned in the same transaction."""
    return Move(request_set, Running(request_set.info, batch_bytes_max))


def reuse(
    request_set: Indexed, totals: Totals, summary_sha256: str, now: datetime
) -> Move[Indexed, Delivered]:
    """Deliver without sending anything: a first run has the answers, or all lines are flawed."""
    return Move(request_set, Delivered(request_set.info, now, totals, summary_sha256))


def narrow(request_set: Running, batch_bytes_max: int, why: str) -> Move[Running, Running]:
    """Plan smaller batches from now on."""
    return Move(request_set, Running(request_set.info, batch_bytes_max), why)


def deliver(
    request_set: Running, totals: Totals, summary_sha256: str, now: datetime
) -> Move[Running, Delivered]:
    """Record that summary.json is on disk."""
    return Move(request_set, Delivered(request_set.info, now, totals, summary_sha256))


def rehome(request_set: Open, outbox: str) -> SetEdge:
    """Deliver under another name: the reserved one belongs to somebody else."""
    info, why = replace(request_set.info, outbox=outbox), f"outbox name {outbox}"
    match request_set:
        case Received():
            return Move(request_set, replace(request_set, info=info), why)
        case Indexed():
            return Move(request_set, replace(request_set, info=info), why)
        case Running():
            return Move(request_set, replace(request_set, info=info), why)


def run_itself(request_set: Indexed, run: int) -> Move[Indexed, Indexed]:
    """Send this drop for itself: its first run has no answers to give."""
    info = replace(request_set.info, answered_from=None, run=run)
    return Move(request_set, replace(request_set, info=info), "the first run has no answers left")


def reopen(request_set: Delivered | Cancelled, outbox: str, batch_bytes_max: int) -> SetEdge:
    """Go on with what failed: the operator asked for it. What was delivered stays as it is."""
    running = Running(replace(request_set.info, outbox=outbox), batch_bytes_max)
    why = f"retry into {outbox}"
    match request_set:
        case Delivered():
            return Move(request_set, running, why)
        case Cancelled():
            return Move(request_set, running, why)


def cancel(
    request_set: Open, totals: Totals, summary_sha256: str, now: datetime
) -> Move[Open, Cancelled]:
    """End at the operator's wish; no batch is live and what was answered is delivered."""
    return Move(request_set, Cancelled(request_set.info, now, totals, summary_sha256))


def is_open(request_set: RequestSet) -> bool:
    """Tell whether anything is still to be done for the set."""
    return request_set.state in OPEN_STATES


SHORT = "short_answers"  # a job owes answers that its output does not have
TAKEN = "retry asked: outputs that are too short are taken as they are"


def is_held_by(flags: Flags, what: str) -> bool:
    """Tell whether a set is held by this: the word that the reason begins with."""
    return (flags.held or "").partition(":")[0] == what


def may_start_work(request_set: RequestSet, flags: Flags) -> bool:
    """Tell whether new batches of this set may be planned, uploaded and submitted."""
    wanted = not (flags.paused or flags.cancel_asked or flags.held)
    return wanted and isinstance(request_set, Indexed | Running)


def is_told(flags: Flags, why: str) -> bool:
    """Tell whether a set that is held needs no other reason: the first stays until it is lifted.

    Else two reasons of one set would be told in turn, for ever. A hold that ends by itself gives
    way, and so does any other to a vanished job, which asks for a word of its own (`retry`).
    """
    if flags.held is None or flags.held == why:
        return flags.held == why
    if flags.held_until is not None:
        return False
    return flags.held.startswith("vanished") or not why.startswith("vanished")
