"""Sets and batches in every state, for tests that need one."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.batches import (
    Batch,
    Lapsed,
    LapseReason,
    Part,
    Planned,
    Tally,
    Usage,
    collect,
    confirm,
    end,
    intend,
    stow,
)
from orchestrator.domain.ids import (
    AccountFingerprint,
    ContentHash,
    FileName,
    Fingerprint,
    IdempotencyKey,
    InstallId,
    JobName,
    Ordinal,
    ProjectName,
    SetId,
    set_id,
    token,
)
from orchestrator.domain.jobs import JobSnapshot, JobState
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Indexed,
    Received,
    Rejected,
    RequestSet,
    Running,
    SetInfo,
    Totals,
    index,
    start as start_,
)
from orchestrator.store import batches as batch_rows, request_sets as set_rows
from orchestrator.store.database import Tx
from orchestrator.store.transitions import apply

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
INSTALL = InstallId("0123456789abcdef")
ACCOUNT = AccountFingerprint("abcdef01")
DEFAULT = ProjectName("default")


def set_info(name: str = "letters", **changes: Any) -> SetInfo:
    """Return the facts of a set of 1,000 requests."""
    content = ContentHash("c" * 64)
    info = SetInfo(
        id=set_id(INSTALL, name, content, 0, 0),
        name=name,
        profile="",
        project=DEFAULT,
        kind="generate",
        model="gemini-2.5-flash",
        folder=f"{name}-folder",
        outbox=name,
        fingerprint=Fingerprint(f"auto-{name}"),
        content=content,
        content_bytes=250_000,
        requests=1_000,
        flawed=0,
        tokens=60_000,
        priority=0,
        run=0,
        options="{}",
        answered_from=None,
        received_at=NOW,
    )
    return replace(info, **changes)


def sets_in_every_state(info: SetInfo) -> list[RequestSet]:
    """Return one set in each of its states."""
    totals = Totals(info.requests - 1, 1)
    return [
        Received(info),
        Indexed(info),
        Running(info, 2_000_000_000),
        Delivered(info, NOW, totals, "5" * 64),
        Rejected(info, "too many flaws", NOW),
        Cancelled(info, NOW, totals, "5" * 64),
    ]


def part(serial: int = 1, /, *, of: SetInfo | None = None, **changes: Any) -> Part:
    """Return the `serial`-th part of a set, 10 requests long."""
    info = of or set_info()
    lo = (serial - 1) * 10
    ranges = f"{lo}-{lo + 10}"
    made = Part(
        token=token(INSTALL, info.id, 1, ranges),
        request_set=info.id,
        serial=serial,
        generation=1,
        lo=Ordinal(lo),
        hi=Ordinal(lo + 10),
        count=10,
        wire_bytes=2_500,
        tokens=600,
        ranges=ranges,
        mode="file",
        kind=info.kind,
        model=info.model,
        project=info.project,
    )
    return replace(made, **changes)


def planned(serial: int = 1, /, *, of: SetInfo | None = None, **changes: Any) -> Planned:
    """Return a batch that was just planned."""
    return Planned(part(serial, of=of, **changes), 1, NOW)


def path_to_collected(batch: Planned) -> list[Any]:
    """Return the moves of a batch's whole life."""
    name = batch.part.token
    stowed = stow(batch, FileName(f"files/{name}"), NOW + timedelta(hours=48))
    intended = intend(stowed.after, NOW, ACCOUNT, 1)
    confirmed = confirm(intended.after, JobName(f"batches/{name[11:]}"), NOW, "answered")
    ended = end(confirmed.after, JobState.SUCCEEDED, None, NOW)
    tally = Tally(answered=batch.part.count - 1, failed=1)
    collected = collect(ended.after, tally, Usage(600, 0, 900, 10), NOW)
    return [stowed, intended, confirmed, ended, collected]


def batches_in_every_state(batch: Planned) -> list[Batch]:
    """Return one batch in each of its states."""
    lapsed = Lapsed(batch.part, LapseReason.EXPIRED, "48 h", NOW)
    return [batch, *(move.after for move in path_to_collected(batch)), lapsed]


def receive(tx: Tx, info: SetInfo) -> SetId:
    """Register a set."""
    set_rows.insert(tx, NOW, Received(info))
    return info.id


def start(tx: Tx, info: SetInfo, *batches: Planned) -> None:
    """Register a set that runs these batches."""
    receive(tx, info)
    indexed = index(Received(info))
    apply(tx, NOW, indexed, start_(indexed.after, 2_000_000_000))
    batch_rows.insert(tx, NOW, *batches)


def collect_all(tx: Tx, *batches: Planned) -> None:
    """Lead batches to their good end."""
    for batch in batches:
        apply(tx, NOW, *path_to_collected(batch))


def snapshot(name: str, token: str, **changes: Any) -> JobSnapshot:
    """Return a job as the service shows it."""
    seen = JobSnapshot(
        name=JobName(name),
        state=JobState.RUNNING,
        display_name=IdempotencyKey(token),
        model="gemini-2.5-flash",
        created_at=NOW,
        ended_at=None,
        input_file=None,
        output=None,
        requests=10,
        succeeded=None,
        failed=None,
        error=None,
    )
    return replace(seen, **changes)
