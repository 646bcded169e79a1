"""What waits for its turn, and what the project holds already."""

from datetime import datetime

from sqlalchemy import case, func, select

from orchestrator.domain.admission import Candidate, Load
from orchestrator.domain.batches import Mode, Planned, Uploaded
from orchestrator.domain.ids import SetId
from orchestrator.domain.request_sets import Indexed, Running, may_start_work
from orchestrator.store.codecs import batch_value
from orchestrator.store.database import Tx
from orchestrator.store.request_sets import open_sets
from orchestrator.store.tables import batches

CANDIDATES_OF_A_SET_MAX = 200
UPLOADS_OF_A_SET_MAX = 4  # for so many of a set's files a place is kept while they are uploaded
AT_PROVIDER = ("submitting", "submitted")
FILES_HELD = ("uploaded", "submitting", "submitted", "ended")


def candidates(
    tx: Tx, now: datetime, state: str, *, mode: Mode, most: int = CANDIDATES_OF_A_SET_MAX
) -> list[Candidate]:
    """Return batches in this unsent state that are due and whose sets may go on.

    At most `most` a set, its first ones: more could not start before the next look anyway.
    """
    found = []
    for stored in open_sets(tx):
        if not isinstance(stored.value, Indexed | Running):
            continue
        if not may_start_work(stored.value, stored.flags):
            continue
        info = stored.value.info
        rows = tx.execute(
            select(batches)
            .where(
                batches.c.set_id == info.id,
                batches.c.state == state,
                batches.c.mode == mode,
                batches.c.not_before <= now,
            )
            .order_by(batches.c.serial)
            .limit(most)
        )
        for row in rows.mappings():
            batch = batch_value(row)
            assert isinstance(batch, Planned | Uploaded), "only what is unsent waits"
            found.append(Candidate(batch, info.priority, info.received_at))
    return found


def waiting(tx: Tx, now: datetime) -> list[Candidate]:
    """Return all that waits for a place: inline, uploaded, and the first of what is to be uploaded.

    One queue for all of them, so that a file that is still to be uploaded loses its place to
    nobody of less urgency.
    """
    inline = candidates(tx, now, "planned", mode="inline")
    uploaded = candidates(tx, now, "uploaded", mode="file")
    files = candidates(tx, now, "planned", mode="file", most=UPLOADS_OF_A_SET_MAX)
    return [*inline, *uploaded, *files]


def load(tx: Tx) -> Load:
    """Sum up what live batches hold at the provider, by model and set."""
    active = batches.c.state.in_(AT_PROVIDER)
    held = batches.c.state.in_(FILES_HELD) & (batches.c.mode == "file")
    rows = tx.execute(
        select(
            batches.c.set_id,
            batches.c.model,
            func.sum(case((active, 1), else_=0)),
            func.sum(case((active, batches.c.tokens), else_=0)),
            func.sum(case((held, batches.c.wire_bytes), else_=0)),
        )
        .where(batches.c.state.in_(FILES_HELD))
        .group_by(batches.c.set_id, batches.c.model)
    )
    total = Load()
    for set_id, model, jobs, tokens, stored in rows:
        total.jobs += jobs
        total.storage_bytes += stored
        total.tokens[model] = total.tokens.get(model, 0) + tokens
        name = SetId(set_id)
        total.live_of_set[name] = total.live_of_set.get(name, 0) + jobs
    return total
