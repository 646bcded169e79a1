"""What was learned about the operator's accounts: blocks, allowances, calibration, money."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Select, func, select

from orchestrator.domain.ids import IdempotencyKey, ProjectName, SetId
from orchestrator.store.tables import allowances, batches, blocks, incidents

# Beyond this the past counts half, so that the calibration follows what is sent now.
SEEN_BYTES_MAX = 1 << 33


@dataclass(frozen=True, slots=True)
class Block:
    """Why nothing can be submitted for a project, what to do, and since when."""

    why: str
    remedy: str
    since: datetime


def blocked(tx: Connection, project: ProjectName) -> Block | None:
    """Return what blocks a project, None when nothing does."""
    query = select(blocks.c.why, blocks.c.remedy, blocks.c.since)
    row = tx.execute(query.where(blocks.c.project == project)).one_or_none()
    return None if row is None else Block(*row)


def all_blocks(tx: Connection) -> dict[ProjectName, Block]:
    """Return what blocks which projects."""
    rows = tx.execute(select(blocks.c.project, blocks.c.why, blocks.c.remedy, blocks.c.since))
    return {ProjectName(project): Block(why, remedy, since) for project, why, remedy, since in rows}


def block(tx: Connection, now: datetime, project: ProjectName, why: str, remedy: str) -> None:
    """Block a project; one that is blocked already keeps the time since when it is."""
    words = {"why": why, "remedy": remedy}
    again = blocks.update().where(blocks.c.project == project).values(words)
    if tx.execute(again).rowcount == 0:
        tx.execute(blocks.insert().values(project=project, since=now, **words))


def unblock(tx: Connection, project: ProjectName) -> bool:
    """Let a project go on; False when it was not blocked."""
    return tx.execute(blocks.delete().where(blocks.c.project == project)).rowcount > 0


def token_limit(tx: Connection, project: ProjectName, model: str) -> int | None:
    """Return the learned limit of enqueued tokens, None where the configured one holds."""
    limit: int | None = tx.scalar(_select(allowances.c.enqueued_tokens, project, model))
    return limit


def halve(
    tx: Connection, now: datetime, project: ProjectName, model: str, used: int, least: int = 1
) -> int:
    """Halve the limit after a refusal at `used` enqueued tokens; returns the new limit."""
    limit = max(halved(token_limit(tx, project, model), used), least)
    _store_limit(tx, now, project, model, limit)
    return limit


def halved(present: int | None, used: int) -> int:
    """Return half of the lower of both, at least one token."""
    return max((used if present is None else min(used, present)) // 2, 1)


def recover(
    tx: Connection, now: datetime, project: ProjectName, model: str, ceiling: int, step: int
) -> int | None:
    """Raise a learned limit by `step`; None once the configured `ceiling` holds again."""
    present = token_limit(tx, project, model)
    if present is None:
        return None
    limit = present + step if present + step < ceiling else None
    _store_limit(tx, now, project, model, limit)
    return limit


def limit_changed_at(tx: Connection, project: ProjectName, model: str) -> datetime | None:
    """Return when the learned limit changed last, None where nothing was learned."""
    at: datetime | None = tx.scalar(_select(allowances.c.changed_at, project, model))
    return at


def observe_usage(
    tx: Connection, now: datetime, project: ProjectName, model: str, tokens: int, wire_bytes: int
) -> None:
    """Learn from what came back: so many prompt tokens were counted for so many bytes sent."""
    _know(tx, now, project, model)
    at = (allowances.c.project == project, allowances.c.model == model)
    tx.execute(
        allowances.update()
        .where(*at)
        .values(
            seen_tokens=allowances.c.seen_tokens + tokens,
            seen_bytes=allowances.c.seen_bytes + wire_bytes,
        )
    )
    tx.execute(
        allowances.update()
        .where(*at, allowances.c.seen_bytes > SEEN_BYTES_MAX)
        .values(seen_tokens=allowances.c.seen_tokens // 2, seen_bytes=allowances.c.seen_bytes // 2)
    )


def tokens_per_byte(tx: Connection, project: ProjectName, model: str) -> float | None:
    """Return how many tokens a byte was so far, None where nothing came back yet."""
    query = select(allowances.c.seen_tokens, allowances.c.seen_bytes)
    seen = tx.execute(
        query.where(allowances.c.project == project, allowances.c.model == model)
    ).one_or_none()
    if seen is None or seen.seen_bytes == 0 or seen.seen_tokens == 0:
        return None
    return float(seen.seen_tokens / seen.seen_bytes)


def charge(tx: Connection, token: IdempotencyKey, micros: int) -> None:
    """Note what the answers of a collected batch cost, in millionths of a dollar; repeatable."""
    tx.execute(batches.update().where(batches.c.token == token).values(cost_micros=micros))


def spend(tx: Connection, since: datetime) -> int:
    """Return what was spent since a time, incidents included, in millionths of a dollar."""
    answers = select(func.sum(batches.c.cost_micros)).where(batches.c.collected_at >= since)
    waste = select(func.sum(incidents.c.cost_micros)).where(incidents.c.at >= since)
    return int(tx.scalar(answers) or 0) + int(tx.scalar(waste) or 0)


def spend_of_set(tx: Connection, set_id: SetId) -> int:
    """Return what a set cost so far, incidents included, in millionths of a dollar."""
    tokens = select(batches.c.token).where(batches.c.set_id == set_id)
    answers = select(func.sum(batches.c.cost_micros)).where(batches.c.set_id == set_id)
    waste = select(func.sum(incidents.c.cost_micros)).where(incidents.c.token.in_(tokens))
    return int(tx.scalar(answers) or 0) + int(tx.scalar(waste) or 0)


def _know(tx: Connection, now: datetime, project: ProjectName, model: str) -> None:
    if tx.scalar(_select(allowances.c.changed_at, project, model)) is None:
        nothing = {"seen_tokens": 0, "seen_bytes": 0, "changed_at": now}
        tx.execute(allowances.insert().values(project=project, model=model, **nothing))


def _store_limit(
    tx: Connection, now: datetime, project: ProjectName, model: str, limit: int | None
) -> None:
    _know(tx, now, project, model)
    tx.execute(
        allowances.update()
        .where(allowances.c.project == project, allowances.c.model == model)
        .values(enqueued_tokens=limit, changed_at=now)
    )


def _select(column: Column[Any], project: ProjectName, model: str) -> Select[Any]:
    where = (allowances.c.project == project, allowances.c.model == model)
    return select(column).where(*where)


def learned(tx: Connection, project: ProjectName) -> dict[str, int]:
    """Return the learned limits of a project by model."""
    rows = tx.execute(
        select(allowances.c.model, allowances.c.enqueued_tokens).where(
            allowances.c.project == project, allowances.c.enqueued_tokens.is_not(None)
        )
    )
    return {model: int(limit) for model, limit in rows}
