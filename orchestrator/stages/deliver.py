"""settled → outbox: the results of a set, in input order, with summary.json last.

Trouble: a name that is taken gets a number; a set whose claimed input was deleted is held, and
delivered as soon as the file is back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain import request_sets as sets
from orchestrator.domain.ids import SetId
from orchestrator.domain.moments import written
from orchestrator.domain.request_sets import (
    Delivered,
    Indexed,
    Received,
    Running,
    SetEdge,
    SetInfo,
)
from orchestrator.ports import (
    Clock,
    Delivery,
    Outbox,
    OutboxTaken,
    Project,
    SourceChanged,
    SourceGone,
    Work,
)
from orchestrator.store import batches as batch_rows, questions, request_sets as set_rows
from orchestrator.store.journal import Journal
from orchestrator.store.request_sets import StoredSet

CANCELLED = 1
PUT_BACK = "its answers are kept: put the file back and they are delivered"


@dataclass(frozen=True, slots=True)
class Deliver:
    """Publishes what is settled: a finished set, a copy of a first run, a cancelled set."""

    journal: Journal
    work: Work
    outbox: Outbox
    clock: Clock
    project: Project

    async def find(self) -> Sequence[SetId]:
        """Return the open sets that may be complete."""
        return await self.journal.read(questions.answered)

    def name(self, item: SetId) -> str:
        """Return what tells one item from another while it is worked on."""
        return item

    async def do(self, item: SetId) -> None:
        """Publish one set if nothing of it is open any more."""
        stored = await self.journal.read(set_rows.get, item)
        if stored is None or not sets.is_open(stored.value):
            return
        if stored.flags.cancel_asked:
            await self._cancel(stored)
        elif stored.value.info.answered_from is not None:
            await self._copy(stored)
        elif isinstance(stored.value, Running) and await self._is_settled(stored.value):
            await self._publish(stored, None, "delivered")

    async def _is_settled(self, running: Running) -> bool:
        return await self.work.open_count(running.info.folder) == 0

    async def _cancel(self, stored: StoredSet) -> None:
        info = stored.value.info
        if info.answered_from is None:
            await self.work.settle_all(
                info.folder, CANCELLED, "CANCELLED", "the set was cancelled by its operator"
            )
            await self._publish(stored, None, "cancelled")
            return
        await self._copy(stored)

    async def _copy(self, stored: StoredSet) -> None:
        first_id = stored.value.info.answered_from
        assert first_id is not None, "only a copy has a first run"
        first = await self.journal.read(set_rows.get, first_id)
        if first is not None and isinstance(first.value, Delivered):
            try:
                await self._publish(stored, first.value.info.folder, "delivered")
            except SourceGone:
                await self._run_itself(stored)
        elif first is None or not sets.is_open(first.value):
            await self._run_itself(stored)

    async def _run_itself(self, stored: StoredSet) -> None:
        """The first run has no answers to give (any more): this drop is run for itself."""
        if not isinstance(stored.value, Indexed):
            return
        run = await self.journal.read(set_rows.next_run, stored.value.info.fingerprint)
        await self.journal.record(sets.run_itself(stored.value, run))

    async def _publish(self, stored: StoredSet, since: str | None, state: str) -> None:
        value = stored.value
        assert isinstance(value, Received | Indexed | Running), "only an open set is published"
        summary = await self._summary(value.info, state)
        try:
            delivery = await self.outbox.publish(value.info, summary, since)
        except OutboxTaken:
            wanted = await self.journal.read(questions.next_outbox, value.info.outbox)
            await self.journal.record(sets.rehome(value, wanted))
            return
        except SourceChanged as error:
            why = f"input is gone: {error}; {PUT_BACK}"
            self.project.report("input_gone", value.info.id, why)
            await self.project.hold(value.info.id, why)
            return
        self.project.report("input_gone", value.info.id, None)
        await self.journal.record(self._move(stored, delivery))

    def _move(self, stored: StoredSet, delivery: Delivery) -> SetEdge:
        now, value = self.clock.now(), stored.value
        totals, digest = delivery.totals, delivery.summary_sha256
        if stored.flags.cancel_asked:
            assert isinstance(value, Received | Indexed | Running), "only what is open ends"
            return sets.cancel(value, totals, digest, now)
        if isinstance(value, Indexed):
            return sets.reuse(value, totals, digest, now)
        assert isinstance(value, Running), "a received set is not delivered"
        return sets.deliver(value, totals, digest, now)

    async def _summary(self, info: SetInfo, state: str) -> Mapping[str, object]:
        spent = await self.journal.read(batch_rows.usage_of_set, info.id)
        rows = await self.journal.read(batch_rows.of_set, info.id)
        known = [one.cost_micros for one in spent if one.cost_micros is not None]
        return {
            "state": state,
            "kind": info.kind,
            "model": info.model,
            "received_at": written(info.received_at),
            "generations": max((row.part.generation for row in rows), default=0),
            "batches": len(rows),
            "usage": [
                {
                    "model": one.model,
                    "generation": one.generation,
                    "prompt_tokens": one.usage.prompt,
                    "cached_tokens": one.usage.cached,
                    "candidates_tokens": one.usage.candidates,
                    "thoughts_tokens": one.usage.thoughts,
                }
                for one in spent
            ],
            "cost_usd": f"{sum(known) / 1_000_000:.6f}" if known else None,
        }
