"""One line per transition, written after its commit. `tell` listens to the journal."""

from typing import TYPE_CHECKING, Any

import structlog

from orchestrator.domain import batches, request_sets
from orchestrator.domain.batches import Batch, LapseReason
from orchestrator.domain.moves import Move
from orchestrator.domain.request_sets import RequestSet

if TYPE_CHECKING:
    from orchestrator.store.journal import Recorded

BATCH_VERBS = {
    ("planned", "planned"): "batch.renewed",
    ("planned", "uploaded"): "batch.uploaded",
    ("uploaded", "planned"): "batch.forgotten",
    ("uploaded", "uploaded"): "batch.postponed",
    ("planned", "submitting"): "batch.intended",
    ("uploaded", "submitting"): "batch.intended",
    ("submitting", "planned"): "batch.withdrawn",
    ("submitting", "uploaded"): "batch.withdrawn",
    ("submitting", "submitting"): "batch.questioned",
    ("submitting", "submitted"): "batch.submitted",
    ("submitted", "ended"): "batch.ended",
    ("submitted", "lapsed"): "batch.vanished",
    ("ended", "collected"): "batch.collected",
    ("ended", "lapsed"): "batch.lapsed",
    ("planned", "lapsed"): "batch.dropped",
    ("uploaded", "lapsed"): "batch.dropped",
}
SET_VERBS = {
    ("received", "indexed"): "set.indexed",
    ("received", "rejected"): "set.rejected",
    ("indexed", "running"): "set.started",
    ("delivered", "running"): "set.reopened",
    ("cancelled", "running"): "set.reopened",
}
LOUD = frozenset(
    {
        "batch.questioned",
        "batch.refused",
        "batch.excluded",
        "batch.vanished",
        "batch.lapsed",
        "set.rejected",
    }
)


def tell(recorded: "Recorded") -> None:
    """Write a line for each thing that a transaction changed."""
    for received in recorded.received:
        _say("set.received", "", _received(received))
    for planned in recorded.planned:
        part = planned.part
        _say("batch.planned", "", _part(planned) | {"mode": part.mode, "tokens": part.tokens})
    for move in recorded.moves:
        if isinstance(move.before, batches.Batch):
            _say(batch_event(move), move.why, _part(move.after) | _batch_facts(move.after))
        else:
            _say(set_event(move), move.why, _set_facts(move.after))


def batch_event(move: Move[Any, Any]) -> str:
    """Name a move of a batch."""
    before, after = move.before, move.after
    if isinstance(before, batches.Submitting) and isinstance(after, batches.Lapsed):
        return "batch.excluded" if after.reason is LapseReason.ABSENT else "batch.refused"
    return BATCH_VERBS[before.state, after.state]


def set_event(move: Move[Any, Any]) -> str:
    """Name a move of a set."""
    before, after = move.before.state, move.after.state
    if after in {"delivered", "cancelled"}:
        return f"set.{after}"
    return SET_VERBS.get((before, after), "set.changed")


def _say(event: str, why: str, facts: dict[str, object]) -> None:
    log = structlog.get_logger()
    if why:
        facts["why"] = why
    (log.warning if event in LOUD else log.info)(event, **facts)


def _received(received: request_sets.Received) -> dict[str, object]:
    info = received.info
    return _set_facts(received) | {
        "requests": info.requests,
        "flawed": info.flawed,
        "bytes": info.content_bytes,
        "model": info.model,
        "kind": info.kind,
        "profile": info.profile,
        "outbox": info.outbox,
    }


def _set_facts(request_set: RequestSet) -> dict[str, object]:
    facts: dict[str, object] = {"set": request_set.info.id, "name": request_set.info.name}
    if isinstance(request_set, request_sets.Delivered | request_sets.Cancelled):
        facts["outbox"] = request_set.info.outbox
        facts["answered"] = request_set.totals.answered
        facts["failed"] = request_set.totals.failed
    return facts


def _part(batch: Batch) -> dict[str, object]:
    part = batch.part
    return {
        "set": part.request_set,
        "batch": part.token,
        "serial": part.serial,
        "generation": part.generation,
        "requests": part.count,
        "bytes": part.wire_bytes,
    }


def _batch_facts(batch: Batch) -> dict[str, object]:
    match batch:
        case batches.Planned():
            return {"upload": batch.upload}
        case batches.Uploaded():
            return {"file": batch.file}
        case batches.Submitting():
            return {"doubt": batch.doubt}
        case batches.Submitted():
            return {"job": batch.job}
        case batches.Ended():
            return {"job": batch.job, "outcome": batch.outcome.value}
        case batches.Collected(tally=tally):
            counts = {name: getattr(tally, name) for name in tally.__slots__}
            return {"job": batch.job, "outcome": batch.outcome.value} | counts
        case batches.Lapsed():
            return {"reason": batch.reason.value}
