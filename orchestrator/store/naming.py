"""Which run a drop is, and the names that follow from it: its set's id and its folder's in outbox/.

The same content dropped again is answered from the first run, or is the next run of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain import ids
from orchestrator.domain.ids import ContentHash, Fingerprint, InstallId, SetId
from orchestrator.domain.options import Choice, to_text
from orchestrator.domain.request_sets import Delivered, SetInfo
from orchestrator.ports import Claim, IndexReport
from orchestrator.store import questions, request_sets as set_rows
from orchestrator.store.database import Tx
from orchestrator.store.request_sets import StoredSet


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A drop that was read."""

    claim: Claim
    choice: Choice
    report: IndexReport

    @property
    def fingerprint(self) -> Fingerprint:
        """What it has in common with the same drop made again."""
        choice = self.choice
        what = self.report.content or ContentHash(self.claim.folder)  # unread: like no other
        return Fingerprint(
            choice.idempotency_key
            or ids.fingerprint(what, choice.model, choice.kind, choice.canonical)
        )


@dataclass(frozen=True, slots=True)
class Named:
    """The names of one drop. `answered_from` is the first run, where that answers for it."""

    id: SetId
    run: int
    copy: int
    outbox: str
    answered_from: SetId | None


def name(tx: Tx, install: InstallId, drop: Unnamed) -> Named:
    """Name a drop, by what the ledger knows."""
    claim, choice, report, print_ = drop.claim, drop.choice, drop.report, drop.fingerprint
    first = set_rows.first_run(tx, print_) if report.content else None
    reused = first if _can_answer(first) and choice.duplicate_set == "reuse" else None
    run, copy = claim.run, claim.copy
    full_name = f"{claim.profile}/{claim.name}"
    own_run = reused is None and run >= 0
    if own_run and questions.is_run_of_another(tx, print_, run, claim.folder):
        run = -1  # named before a crash, and taken since: nothing was sent under that name
    if run < 0:
        run = set_rows.next_run(tx, print_) if reused is None else reused.value.info.run
        copy = set_rows.next_copy(tx, claim.name, report.content, run)
    id_ = ids.set_id(install, full_name, report.content, run, copy)
    return Named(
        id_,
        run,
        copy,
        set_rows.free_outbox(tx, claim.name),
        reused.value.info.id if reused is not None and reused.value.info.id != id_ else None,
    )


def name_all(tx: Tx, install: InstallId, *drops: Unnamed) -> Sequence[Named | None]:
    """Name drops that are to be recorded together; None for one that has to wait for another.

    That is one with the content or the name of another of them: the other comes first.
    """
    found: list[Named | None] = []
    taken: set[str] = set()
    for drop in drops:
        named: Named | None = None
        if taken.isdisjoint({drop.fingerprint, drop.claim.name}):
            named = name(tx, install, drop)
            if taken.isdisjoint({named.outbox, named.id}):
                taken |= {drop.fingerprint, drop.claim.name, named.outbox, named.id}
            else:
                named = None
        found.append(named)
    return found


def info_of(drop: Unnamed, named: Named, now: datetime) -> SetInfo:
    """Return what the set of a drop is."""
    claim, choice, report = drop.claim, drop.choice, drop.report
    return SetInfo(
        id=named.id,
        name=claim.name,
        profile=claim.profile,
        project=choice.project,
        kind=choice.kind,
        model=choice.model,
        folder=claim.folder,
        outbox=named.outbox,
        fingerprint=drop.fingerprint,
        content=report.content,
        content_bytes=report.content_bytes,
        requests=report.requests,
        flawed=report.flawed,
        tokens=report.tokens,
        priority=choice.priority,
        run=named.run,
        options=to_text(choice),
        answered_from=named.answered_from,
        received_at=now,
    )


def _can_answer(first: StoredSet | None) -> bool:
    """A run that is over and has no answer at all is no answer to the same drop."""
    if first is None:
        return False
    return not isinstance(first.value, Delivered) or first.value.totals.answered > 0
