"""What waits for its turn, and what the project holds already."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Integer, bindparam, case, func, select

from orchestrator.domain.admission import Candidate, Load
from orchestrator.domain.batches import Mode, Planned, Uploaded
from orchestrator.domain.ids import SetId
from orchestrator.domain.request_sets import Indexed, Running, SetInfo, may_start_work
from orchestrator.store.codecs import batch_value
from orchestrator.store.database import Tx
from orchestrator.store.request_sets import open_sets
from orchestrator.store.tables import batches

CANDIDATES_OF_A_SET_MAX = 200
UPLOADS_OF_A_SET_MAX = 4  # for so many of a set's files a place is kept while they are uploaded
AT_PROVIDER = ("submitting", "submitted")
FILES_HELD = ("uploaded", "submitting", "submitted", "ended")

# What is asked at every look is built once; building a statement costs more than running it.
_DUE_OF_SET = (
    select(batches)
    .where(
        batches.c.set_id == bindparam("set_id"),
        batches.c.state == bindparam("state"),
        batches.c.mode == bindparam("mode"),
        batches.c.not_before <= bindparam("now"),
    )
    .order_by(batches.c.serial)
    .limit(bindparam("most", type_=Integer))
)
_active = batches.c.state.in_(AT_PROVIDER)
_held = batches.c.state.in_(FILES_HELD) & (batches.c.mode == "file")
_LOAD = (
    select(
        batches.c.set_id,
        batches.c.model,
        func.sum(case((_active, 1), else_=0)),
        func.sum(case((_active, batches.c.tokens), else_=0)),
        func.sum(case((_held, batches.c.wire_bytes), else_=0)),
    )
    .where(batches.c.state.in_(FILES_HELD))
    .group_by(batches.c.set_id, batches.c.model)
)


def candidates(
    tx: Tx, now: datetime, state: str, *, mode: Mode, most: int = CANDIDATES_OF_A_SET_MAX
) -> list[Candidate]:
    """Return batches in this unsent state that are due and whose sets may go on.

    At most `most` a set, its first ones: more could not start before the next look anyway.
    """
    return [one for info in _going_on(tx) for one in _due(tx, info, now, state, mode, most)]


def waiting(tx: Tx, now: datetime) -> list[Candidate]:
    """Return all that waits for a place: inline, uploaded, and the first of what is to be uploaded.

    One queue for all of them, so that a file that is still to be uploaded loses its place to
    nobody of less urgency.
    """
    asked: tuple[tuple[str, Mode, int], ...] = (
        ("planned", "inline", CANDIDATES_OF_A_SET_MAX),
        ("uploaded", "file", CANDIDATES_OF_A_SET_MAX),
        ("planned", "file", UPLOADS_OF_A_SET_MAX),
    )
    infos = _going_on(tx)
    return [
        one
        for state, mode, most in asked
        for info in infos
        for one in _due(tx, info, now, state, mode, most)
    ]


def _going_on(tx: Tx) -> list[SetInfo]:
    """Return the sets of which work may be started, the most urgent first."""
    return [
        stored.value.info
        for stored in open_sets(tx)
        if isinstance(stored.value, Indexed | Running)
        and may_start_work(stored.value, stored.flags)
    ]


def _due(
    tx: Tx, info: SetInfo, now: datetime, state: str, mode: Mode, most: int
) -> Iterator[Candidate]:
    asked = {"set_id": info.id, "state": state, "mode": mode, "now": now, "most": most}
    for row in tx.execute(_DUE_OF_SET, asked).mappings():
        batch = batch_value(row)
        assert isinstance(batch, Planned | Uploaded), "only what is unsent waits"
        yield Candidate(batch, info.priority, info.received_at)


def load(tx: Tx) -> Load:
    """Sum up what live batches hold at the provider, by model and set."""
    total = Load()
    for set_id, model, jobs, tokens, stored in tx.execute(_LOAD):
        total.jobs += jobs
        total.storage_bytes += stored
        total.tokens[model] = total.tokens.get(model, 0) + tokens
        name = SetId(set_id)
        total.live_of_set[name] = total.live_of_set.get(name, 0) + jobs
    return total
