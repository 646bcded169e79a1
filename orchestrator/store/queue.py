"""What waits for its turn, and what the project holds already."""

from datetime import datetime

from sqlalchemy import bindparam, case, func, select

from orchestrator.domain.admission import Candidate, Load
from orchestrator.domain.batches import Planned, Uploaded
from orchestrator.domain.ids import IdempotencyKey, JobName, SetId
from orchestrator.store.calibration import estimates
from orchestrator.store.codecs import batch_value
from orchestrator.store.columns import one_of
from orchestrator.store.database import Tx
from orchestrator.store.question import Question
from orchestrator.store.questions import MAY_START
from orchestrator.store.tables import batches, request_sets as sets

CANDIDATES_OF_A_SET_MAX = 200
UPLOADS_OF_A_SET_MAX = 4  # for so many of a set's files a place is kept while they are uploaded
AT_PROVIDER = ("submitting", "submitted")
FILES_HELD = ("uploaded", "submitting", "submitted", "ended")

# What is asked at every look is built once; building a statement costs more than running it.
_place = func.row_number().over(
    partition_by=(batches.c.set_id, batches.c.state, batches.c.mode), order_by=batches.c.serial
)
_ranked = (
    select(batches, _place.label("place"))
    .where(
        one_of(batches.c.state, "planned", "uploaded"),
        batches.c.not_before <= bindparam("now"),
    )
    .subquery()
)
_to_be_uploaded = (_ranked.c.state == "planned") & (_ranked.c.mode == "file")
_WAITING = Question(
    select(_ranked, sets.c.priority, sets.c.received_at)
    .join(sets, sets.c.id == _ranked.c.set_id)
    .where(
        MAY_START,
        _ranked.c.place
        <= case((_to_be_uploaded, UPLOADS_OF_A_SET_MAX), else_=CANDIDATES_OF_A_SET_MAX),
    )
    .order_by(sets.c.priority.desc(), sets.c.received_at, sets.c.id, _ranked.c.serial)
)
_DUE_TIMES = Question(
    select(batches.c.not_before)
    .where(one_of(batches.c.state, "planned", "uploaded"))
    .distinct()
    .order_by(batches.c.not_before)
)
_active = one_of(batches.c.state, *AT_PROVIDER)
_JOBS = Question(select(batches.c.token, batches.c.job).where(_active))
_held = one_of(batches.c.state, *FILES_HELD) & (batches.c.mode == "file")
_LOAD = Question(
    select(
        batches.c.set_id,
        batches.c.model,
        func.sum(case((_active, 1), else_=0)),
        func.sum(case((_active, batches.c.tokens), else_=0)),
        func.sum(case((_active, batches.c.wire_bytes), else_=0)),
        func.sum(case((_held, batches.c.wire_bytes), else_=0)),
    )
    .where(one_of(batches.c.state, *FILES_HELD))
    .group_by(batches.c.set_id, batches.c.model)
)


def due_times(tx: Tx) -> list[datetime]:
    """Return when what waits becomes due, in order: between two of them `waiting` is the same."""
    return list(_DUE_TIMES.scalars(tx))


def waiting(tx: Tx, now: datetime) -> list[Candidate]:
    """Return all that is due and waits for a place: inline, uploaded, and what is to be uploaded.

    One queue for all of them, so that a file that is still to be uploaded loses its place to
    nobody of less urgency. Of each set and kind the first ones: more could not start before the
    next look anyway.
    """
    found: list[Candidate] = []
    for row in _WAITING.mappings(tx, now=now):
        batch = batch_value(row)
        assert isinstance(batch, Planned | Uploaded), "only what is unsent waits"
        found.append(Candidate(batch, row["priority"], row["received_at"]))
    return found


def load(tx: Tx) -> Load:
    """Sum up what live batches hold at the provider, by model and set."""
    total = Load(estimates=estimates(tx))
    for set_id, model, jobs, planned, sent, stored in _LOAD.rows(tx):
        total.jobs += jobs
        total.storage_bytes += stored
        name = SetId(set_id)
        tokens = total.estimates.sum(name, planned, sent)
        total.tokens[model] = total.tokens.get(model, 0) + tokens
        total.live_of_set[name] = total.live_of_set.get(name, 0) + jobs
    return total


def active(tx: Tx) -> dict[IdempotencyKey, JobName | None]:
    """Return the batches whose jobs are in the load, with these; None where it is in doubt."""
    return {IdempotencyKey(token): job for token, job in _JOBS.rows(tx)}
