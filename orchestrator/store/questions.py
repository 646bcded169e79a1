"""Short questions that the stages ask of several tables."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, bindparam, exists, func, select

from orchestrator.domain.batches import LIVE_STATES, LapseReason, Part
from orchestrator.domain.ids import (
    FileName,
    Fingerprint,
    IdempotencyKey,
    JobName,
    Ordinal,
    SetId,
    file_name,
)
from orchestrator.domain.request_sets import OPEN_STATES, TAKEN
from orchestrator.store.codecs import batch_value
from orchestrator.store.columns import one_of
from orchestrator.store.database import Tx
from orchestrator.store.jobs import DELETED
from orchestrator.store.question import Question
from orchestrator.store.request_sets import free_outbox, is_cancel_asked
from orchestrator.store.tables import LIVE, batches, events, jobs, request_sets as sets

# What is asked at every look is built once; building a statement costs more than running it.
_over = one_of(batches.c.state, "collected", "lapsed")
_there = jobs.c.name.is_not(None) & (jobs.c.state != DELETED)
_unsent = one_of(batches.c.reason, "dropped", "refused", "invalid") & (batches.c.mode == "file")
_remains = (
    select(batches.c.token, batches.c.mode, batches.c.file, jobs.c.name, sets.c.finished_at)
    .join(sets, sets.c.id == batches.c.set_id)
    .outerjoin(jobs, jobs.c.token == batches.c.token)
    .where(_over, _there | _unsent)
    .order_by(batches.c.id)
)
_of_set = batches.c.set_id == bindparam("set_id")
_REMAINS = Question(_remains)
_REMAINS_OF_SET = Question(_remains.where(_of_set))
_FOLDER = Question(select(sets.c.folder).where(sets.c.id == bindparam("set_id")))
_SETTLED_FOLDERS = Question(select(sets.c.folder).where(sets.c.state != "received"))
_live = exists().where(batches.c.set_id == sets.c.id, one_of(batches.c.state, *sorted(LIVE_STATES)))
ACCEPTED = one_of(sets.c.state, "indexed", "running")
MAY_START = ACCEPTED & ~sets.c.paused & ~sets.c.cancel_asked & sets.c.held.is_(None)
_quiet = (
    select(sets.c.id)
    .where(ACCEPTED, ~_live)
    .order_by(sets.c.priority.desc(), sets.c.received_at, sets.c.id)
)
_UNPLANNED = Question(
    _quiet.where(MAY_START, sets.c.answered_from.is_(None)).limit(bindparam("most", type_=Integer))
)
_ANSWERED = Question(
    _quiet.where(
        (sets.c.state == "running") | sets.c.cancel_asked | sets.c.answered_from.is_not(None)
    )
)
_LAPSED = Question(
    select(batches.c.set_id, batches.c.token)
    .join(sets, sets.c.id == batches.c.set_id)
    .where(ACCEPTED, batches.c.state == "lapsed")
)
_SEEN_JOBS = Question(
    select(jobs.c.name).where(jobs.c.token.in_(select(batches.c.token).where(_of_set)))
)
_HELD_JOBS = Question(select(batches.c.job).where(_of_set, batches.c.job.is_not(None)))
_CONTROLS = Question(select(jobs.c.name).where((jobs.c.role == "ours") & (jobs.c.state != DELETED)))
_TO_BE_CANCELLED = Question(
    select(sets.c.id)
    .where(one_of(sets.c.state, *sorted(OPEN_STATES)), sets.c.cancel_asked)
    .order_by(sets.c.priority.desc(), sets.c.received_at, sets.c.id)
)
# All that are copied, at once: looked for beside each finished set they would take the product.
_copies = sets.alias()
_copied = select(_copies.c.answered_from).where(
    one_of(_copies.c.state, *sorted(OPEN_STATES)), _copies.c.answered_from.is_not(None)
)
_FINISHED_FOLDERS = Question(
    select(sets.c.id, sets.c.folder, sets.c.finished_at)
    .where(sets.c.finished_at < bindparam("before"), sets.c.id.not_in(_copied))
    .order_by(sets.c.finished_at)
)


def folder(tx: Tx, set_id: SetId) -> str:
    """Return the name of a set's folder in `work/`; the set must exist."""
    (name,) = _FOLDER.scalars(tx, set_id=set_id)
    return str(name)


def settled_folders(tx: Tx) -> frozenset[str]:
    """Return the folders in `work/` whose sets were accepted or rejected."""
    return frozenset(_SETTLED_FOLDERS.scalars(tx))


def next_outbox(tx: Tx, taken: str) -> str:
    """Return an outbox name like `taken` that neither the ledger nor its own number has."""
    base, dash, number = taken.rpartition("-")
    if dash and number.isdecimal():
        return free_outbox(tx, f"{base}-{int(number) + 1}")
    return free_outbox(tx, f"{taken}-2")


def was_reopened(tx: Tx, set_id: SetId) -> bool:
    """Tell whether a set that was delivered or cancelled runs again."""
    over = one_of(events.c.source, "delivered", "cancelled")
    reopened = over & (events.c.target == "running")
    whole_set = (events.c.set_id == set_id) & events.c.batch_id.is_(None)
    return bool(tx.scalar(select(exists().where(whole_set, reopened))))


def takes_short(tx: Tx, set_id: SetId) -> bool:
    """Tell whether a person has said that this set's short outputs are taken as they are.

    So it is when the set is to end without more answers.
    """
    told = (events.c.set_id == set_id) & events.c.batch_id.is_(None) & (events.c.why == TAKEN)
    return bool(tx.scalar(select(exists().where(told)))) or is_cancel_asked(tx, set_id)


def unplanned(tx: Tx, most: int) -> list[SetId]:
    """Return accepted sets that may start work and of which no batch is live, at most so many.

    The most urgent come first.
    """
    return [SetId(name) for name in _UNPLANNED.scalars(tx, most=most)]


def answered(tx: Tx) -> list[SetId]:
    """Return the accepted sets that may be complete: no batch can bring answers any more.

    The most urgent come first. A set of which nothing was ever planned is none of them.
    """
    return [SetId(name) for name in _ANSWERED.scalars(tx)]


def to_be_cancelled(tx: Tx) -> list[SetId]:
    """Return the open sets whose operator asked for an end, the most urgent first."""
    return [SetId(name) for name in _TO_BE_CANCELLED.scalars(tx)]


def lapsed(tx: Tx) -> list[tuple[SetId, IdempotencyKey]]:
    """Return the batches of accepted sets whose requests have to be planned again."""
    return [(SetId(name), IdempotencyKey(token)) for name, token in _LAPSED.rows(tx)]


def jobs_of_set(tx: Tx, set_id: SetId) -> frozenset[JobName]:
    """Return every job that was recorded under a token of the set, whatever its role."""
    seen = _SEEN_JOBS.scalars(tx, set_id=set_id)
    held = _HELD_JOBS.scalars(tx, set_id=set_id)
    return frozenset(JobName(name) for name in (*seen, *held))


def controls(tx: Tx) -> frozenset[JobName]:
    """Return the jobs of ours that the provider must know: recorded, and not deleted by us."""
    return frozenset(JobName(name) for name in _CONTROLS.scalars(tx))


@dataclass(frozen=True, slots=True)
class Remains:
    """What a batch that is over may have left at the provider.

    `finished_at` is when its set was, None while it is open; `job` is None when there is none
    (any more).
    """

    token: IdempotencyKey
    job: JobName | None
    file: FileName | None
    finished_at: datetime | None


def remains(tx: Tx, set_id: SetId | None = None) -> list[Remains]:
    """Return what is over and may have remains, of one set or of all."""
    rows = _REMAINS.rows(tx) if set_id is None else _REMAINS_OF_SET.rows(tx, set_id=set_id)
    return [
        Remains(IdempotencyKey(token), job, _file(mode, file, token), finished_at)
        for token, mode, file, job, finished_at in rows
    ]


def _file(mode: str, file: str | None, token: str) -> FileName | None:
    if mode == "inline":
        return None
    return FileName(file) if file else file_name(IdempotencyKey(token), 1)


def overlaps(tx: Tx, set_id: SetId, lo: Ordinal, hi: Ordinal) -> bool:
    """Tell whether a live batch of the set holds any request of [lo, hi)."""
    same = (batches.c.set_id == set_id) & (batches.c.lo < hi) & (batches.c.hi > lo)
    return bool(tx.scalar(select(exists().where(same, LIVE))))


@dataclass(frozen=True, slots=True)
class FinishedFolder:
    """The folder in `work/` of a set that is over."""

    set_id: SetId
    folder: str
    finished_at: datetime


def finished_folders(tx: Tx, before: datetime) -> list[FinishedFolder]:
    """Return the folders of sets that were finished before this time and whom nobody copies.

    The oldest come first.
    """
    rows = _FINISHED_FOLDERS.rows(tx, before=before)
    return [FinishedFolder(SetId(name), folder_, at) for name, folder_, at in rows]


@dataclass(frozen=True, slots=True)
class Flying:
    """A batch that may be paid for and is not yet counted; `held` is what holds its set.

    `in_doubt`: the operator has to say whether its job exists.
    """

    part: Part
    held: str | None
    in_doubt: bool


def in_flight(tx: Tx, set_id: SetId | None) -> list[Flying]:
    """Return the batches that may be paid for and are not yet counted, of one set or of all."""
    states = ("submitting", "submitted", "ended")
    query = select(batches, sets.c.held.label("set_held")).join(sets, sets.c.id == batches.c.set_id)
    query = query.where(batches.c.state.in_(states))
    if set_id is not None:
        query = query.where(batches.c.set_id == set_id)
    return [
        Flying(batch_value(row).part, row["set_held"], row["doubt"] == "held")
        for row in tx.execute(query).mappings()
    ]


def held_in_doubt(tx: Tx, set_id: SetId) -> list[IdempotencyKey]:
    """Return the batches of a set whose jobs only the operator may call absent, by serial."""
    held = (batches.c.set_id == set_id) & (batches.c.doubt == "held")
    query = select(batches.c.token).where(held, batches.c.state == "submitting")
    return [
        IdempotencyKey(token) for token in tx.execute(query.order_by(batches.c.serial)).scalars()
    ]


def first_unsent(tx: Tx, set_id: SetId) -> Part | None:
    """Return the batch of a set that is to be sent next, None if none waits."""
    waits = one_of(batches.c.state, "planned", "uploaded")
    query = select(batches).where(batches.c.set_id == set_id, waits).order_by(batches.c.serial)
    row = tx.execute(query.limit(1)).mappings().one_or_none()
    return None if row is None else batch_value(row).part


def refusals(tx: Tx, set_id: SetId) -> int:
    """Return how many batches of a set the service has refused at their creates."""
    refused = batches.c.reason.in_([LapseReason.REFUSED.value, LapseReason.INVALID.value])
    query = select(func.count()).where(batches.c.set_id == set_id, refused)
    return int(tx.execute(query).scalar_one())


def is_run_of_another(tx: Tx, fingerprint: Fingerprint, run: int, folder_: str) -> bool:
    """Tell whether a set of another folder is this run of a drop."""
    same = (sets.c.fingerprint == fingerprint) & (sets.c.run == run)
    other = sets.c.answered_from.is_(None) & (sets.c.folder != folder_)
    return bool(tx.scalar(select(exists().where(same, other))))
