"""open → delivered, without any work: a ledger that is older than its outbox finds its results.

When a backup is put back, or the newest commits were lost, a set is open in the ledger whose
results lie in the outbox. Its jobs are deleted by then, and in time its folder in `work/` too:
nothing but the outbox knows that it was paid for and answered. Looked for once in each life, as
only a start can bring an older ledger.

Trouble: what is not whole, or not exactly this set's, is left to the other stages and to people.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never

from orchestrator.domain import batches as machine, request_sets as sets
from orchestrator.domain.batches import (
    Batch,
    BatchEdge,
    Collected,
    Ended,
    Lapsed,
    LapseReason,
    Planned,
    Submitted,
    Submitting,
    Uploaded,
)
from orchestrator.domain.ids import SetId
from orchestrator.domain.request_sets import Indexed, Open, Received, Running, SetEdge
from orchestrator.ports import Clock, Delivery, Outbox, Project
from orchestrator.store import batches as batch_rows, request_sets as set_rows
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal
from orchestrator.store.request_sets import StoredSet

WHY = "its results lie whole in the outbox: the ledger had forgotten that they were delivered"


@dataclass(slots=True)
class Memory:
    """Which sets have a finished folder in the outbox; None before this life has looked."""

    finished: set[SetId] | None = None


@dataclass(frozen=True, slots=True)
class Recognise:
    """Ends the sets that were delivered before the ledger was set back."""

    journal: Journal
    outbox: Outbox
    clock: Clock
    project: Project
    memory: Memory = field(default_factory=Memory)

    async def find(self) -> Sequence[SetId]:
        """Return the open sets whose folder in the outbox was finished as this life began."""
        if self.memory.finished is None:
            stored = await self.journal.read(set_rows.open_sets)
            self.memory.finished = set(
                await self.outbox.finished([one.value.info for one in stored])
            )
        return sorted(self.memory.finished)

    def name(self, item: SetId) -> str:
        """Return what tells one item from another while it is worked on."""
        return item

    async def do(self, item: SetId) -> None:
        """Let one set be delivered, if all of it is there."""
        stored = await self.journal.read(set_rows.get, item)
        if stored is not None and sets.is_open(stored.value):
            rows = await self.journal.read(batch_rows.of_set, item)
            if any(self._may_be_listed(row) for row in rows):
                return
            delivery = await self.outbox.delivered(stored.value.info)
            if delivery is not None:
                await self._record(stored, rows, delivery)
        assert self.memory.finished is not None, "it was found there"
        self.memory.finished.discard(item)

    def _may_be_listed(self, row: Batch) -> bool:
        """Tell whether a batch is better first taken up: its job may still be at the provider."""
        if not isinstance(row, Planned | Uploaded | Submitting):
            return False
        evidence = self.project.evidence
        return not evidence.may_create() or bool(evidence.matches(row.part.token))

    async def _record(self, stored: StoredSet, rows: Sequence[Batch], delivery: Delivery) -> None:
        value, now = stored.value, self.clock.now()
        assert isinstance(value, Received | Indexed | Running), "only an open set is delivered"
        over = [edge for row in rows if (edge := _end_of(row, now)) is not None]
        after = replace(stored.flags, held=None)

        def let_go(tx: Tx) -> None:
            if after != stored.flags:
                set_rows.flag(tx, now, value.info.id, stored.flags, after, WHY)

        ends = _deliveries(value, delivery, now, cancelled=stored.flags.cancel_asked)
        await self.journal.record(*over, *ends, also=let_go)


def _end_of(row: Batch, now: datetime) -> BatchEdge | None:
    """End a batch whose answers were collected in a time that the ledger has forgotten."""
    match row:
        case Planned() | Uploaded():
            return machine.drop(row, now, WHY)
        case Submitting():
            return machine.exclude(row, now, WHY)
        case Submitted():
            return machine.vanish(row, now, WHY)
        case Ended():
            return machine.lapse(row, LapseReason.VANISHED, now, WHY)
        case Collected() | Lapsed():
            return None
        case _:
            assert_never(row)


def _deliveries(
    value: Open, delivery: Delivery, now: datetime, *, cancelled: bool
) -> Sequence[SetEdge]:
    totals, digest = delivery.totals, delivery.summary_sha256
    if cancelled or delivery.cancelled:
        return [replace(sets.cancel(value, totals, digest, now), why=WHY)]
    match value:
        case Received():
            accepted = sets.index(value)
            return [accepted, replace(sets.reuse(accepted.after, totals, digest, now), why=WHY)]
        case Indexed():
            return [replace(sets.reuse(value, totals, digest, now), why=WHY)]
        case Running():
            return [replace(sets.deliver(value, totals, digest, now), why=WHY)]
        case _:
            assert_never(value)
