"""pool → batches: whatever nobody has settled becomes batches of the next generation.

The first submission, the resubmission of an expired job, splitting it smaller and retrying only
what failed are this one step. A plan file found without its row is taken up again when its create
may have been sent: the ledger was rolled back or lost, the folder was not.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from orchestrator.domain import batches as machine, ids, request_sets as sets
from orchestrator.domain.batches import Batch, Collected, Lapsed, LapseReason, Planned
from orchestrator.domain.calibration import guess, planned_max
from orchestrator.domain.ids import IdempotencyKey, Ordinal, SetId
from orchestrator.domain.options import from_text
from orchestrator.domain.request_sets import Indexed, Running, SetInfo
from orchestrator.ports import Jobs, PartPlan, PlanOrder, Project, Unavailable, Work, part_of
from orchestrator.store import (
    batches as batch_rows,
    calibration,
    questions,
    request_sets as set_rows,
)
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal

COUNTED_OF_A_SET = 8
DUE_MAX = 1000
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Plan:
    """Cuts pools; `handled` are lapsed batches whose requests were planned again already.

    `counted` keeps what the service said of a set's tokens, so that it is asked once.
    """

    journal: Journal
    work: Work
    project: Project
    jobs: Jobs
    handled: set[IdempotencyKey] = field(default_factory=set)
    counted: dict[SetId, float | None] = field(default_factory=dict)

    async def find(self) -> Sequence[SetId]:
        """Return the sets whose pool may hold something that can be planned now."""
        return await self.journal.read(_due, frozenset(self.handled))

    def name(self, item: SetId) -> str:
        """Return what tells one item from another while it is worked on."""
        return item

    async def do(self, item: SetId) -> None:
        """Plan what is in the pool of one set."""
        stored = await self.journal.read(set_rows.get, item)
        if stored is None or not sets.may_start_work(stored.value, stored.flags):
            return
        if stored.value.info.answered_from is not None:
            return
        match stored.value:
            case Indexed():
                await self._plan(stored.value, self._first_bound(stored.value.info))
            case Running():
                await self._plan(stored.value, stored.value.batch_bytes_max)
            case _:
                return

    def _first_bound(self, info: SetInfo) -> int:
        most = self.project.limits().file_max_bytes
        return min(from_text(info.options).batch_bytes_max or most, most)

    async def _plan(self, value: Indexed | Running, bound: int) -> None:
        rows = await self.journal.read(batch_rows.of_set, value.info.id)
        plans = await self.work.planned(value.info.folder)
        restored = await self._restore(value.info, rows, plans)
        if restored:
            await self._enter(value, bound, restored)
            return
        rate = await self._rate(value.info)
        halves = await self._split(value.info, bound, rows, rate)
        if halves:
            await self._enter(value, bound, halves)
            return
        for generation in _generations(rows, plans):
            order = self._order(value.info, bound, rows, generation, rate)
            parts = await self._new(rows, value.info.folder, order)
            if parts:
                planned = [_planned(value.info, order, part) for part in parts]
                await self._enter(value, bound, planned)
                return
        if isinstance(value, Indexed):
            await self._enter(value, bound, [])  # nothing to send: every line is flawed
        self.handled.update(row.part.token for row in rows if isinstance(row, Lapsed))

    async def _rate(self, info: SetInfo) -> float:
        """Return how many tokens a byte is: as answers taught it, as counted, or as guessed."""
        taught = await self.journal.read(calibration.rate_of, info.id)
        if taught is None and self.project.limits().count_tokens:
            if info.id not in self.counted:
                self.counted[info.id] = await self._counted(info)
            taught = self.counted[info.id]
        return guess(info.tokens, info.content_bytes) if taught is None else taught

    async def _counted(self, info: SetInfo) -> float | None:
        """Let the service count some requests of a set, before its model has answered any."""
        sample = await self.work.sample(info.folder, COUNTED_OF_A_SET)
        try:
            counts = [await self.jobs.count_tokens(info.model, info.kind, one) for one in sample]
        except Unavailable as error:
            self.project.report("token_count", info.model, f"{error}; tokens are guessed")
            return None
        known = [(tokens, len(one)) for tokens, one in zip(counts, sample, strict=True) if tokens]
        if not known:
            why = "the service does not count them; tokens are guessed" if sample else None
            self.project.report("token_count", info.model, why)
            return None
        self.project.report("token_count", info.model, None)
        return sum(tokens for tokens, _ in known) / sum(size for _, size in known)

    async def _split(
        self, info: SetInfo, bound: int, rows: Sequence[Batch], rate: float
    ) -> list[Planned]:
        """Halve each batch in which one request is at fault: in the end it is alone.

        That was no try for the others, so the halves are of the same generation.
        """
        halves: list[Planned] = []
        for row in rows:
            if not _is_to_be_split(row) or row.part.token in self.handled:
                continue
            part, whole = row.part, self._order(info, bound, rows, row.part.generation, rate)
            order = replace(
                whole,
                live=[*whole.live, (Ordinal(0), part.lo), (part.hi, Ordinal(info.requests))],
                requests_max=-(-part.count // 2),
                first_serial=whole.first_serial + len(halves),
            )
            parts = await self._new(rows, info.folder, order)
            halves += [_planned(info, order, one) for one in parts]
            if not parts:
                self.handled.add(part.token)
        return halves

    async def _new(
        self, rows: Sequence[Batch], folder: str, order: PlanOrder
    ) -> Sequence[PartPlan]:
        """Plan, but never a batch that was: what lapsed unchanged counts as tried and goes on."""
        past = {row.part.token: row for row in rows}
        parts = await self.work.plan(folder, order)
        for part in parts:
            if part.token in past:
                await self.work.release(folder, past[part.token].part, None, 0)
        return [part for part in parts if part.token not in past]

    async def _enter(
        self, value: Indexed | Running, bound: int, planned: Sequence[Planned]
    ) -> None:
        moves = (sets.start(value, bound),) if isinstance(value, Indexed) else ()

        def demand_work(tx: Tx) -> None:  # a set that ended meanwhile would keep them for ever
            set_rows.demand_work(tx, value.info.id)

        await self.journal.plan(planned, *moves, also=demand_work)

    def _order(
        self, info: SetInfo, bound: int, rows: Sequence[Batch], generation: int, rate: float
    ) -> PlanOrder:
        choice, limits = from_text(info.options), self.project.limits()
        return PlanOrder(
            request_set=info.id,
            generation=generation,
            live=[(row.part.lo, row.part.hi) for row in rows if machine.is_live(row)],
            limits=limits,
            batch_bytes_max=min(bound, limits.file_max_bytes),
            requests_max=choice.requests_max or limits.requests_per_batch_max,
            tokens_max=planned_max(self.project.token_limit(info.model)),
            tokens_per_byte=rate,
            kind=info.kind,
            model=info.model,
            first_serial=1 + max((row.part.serial for row in rows), default=0),
            turned_away=_turned_away(rows, generation),
        )

    async def _restore(
        self, info: SetInfo, rows: Sequence[Batch], plans: Mapping[IdempotencyKey, PartPlan]
    ) -> list[Planned]:
        known = {row.part.token for row in rows}
        live = [(row.part.lo, row.part.hi) for row in rows if machine.is_live(row)]
        serial = 1 + max((row.part.serial for row in rows), default=0)
        restored: list[Planned] = []
        for token, plan in sorted(
            plans.items(), key=lambda one: (ids.generation_in(one[0]), one[1].lo)
        ):
            if token in known or _overlaps(plan, live):
                continue
            if not await self.work.pending(info.folder, token):
                continue
            part = part_of(
                info, ids.generation_in(token), replace(plan, serial=max(plan.serial, serial))
            )
            serial = part.serial + 1
            live.append((part.lo, part.hi))
            restored.append(Planned(part, 1, AT_ONCE))
        return restored


def _due(tx: Tx, handled: frozenset[IdempotencyKey]) -> list[SetId]:
    """Return what may hold something to be planned, in order of urgency but for what lapsed.

    Many sets may wait: what the next look finds anyway is not read at each.
    """
    lapsed = dict.fromkeys(name for name, token in questions.lapsed(tx) if token not in handled)
    stored = (set_rows.get(tx, name) for name in lapsed)
    again = [
        one.value.info.id
        for one in stored
        if one is not None and sets.may_start_work(one.value, one.flags)
    ]
    return [*again, *(name for name in questions.unplanned(tx, DUE_MAX) if name not in lapsed)]


def _is_to_be_split(row: Batch) -> bool:
    return isinstance(row, Lapsed) and row.reason is LapseReason.INVALID


def _turned_away(rows: Sequence[Batch], generation: int) -> Mapping[str, int]:
    """Count by their ranges the batches of a generation that were no try.

    Those that were split unsent, and of the jobs that failed those for which there was no room: of
    the others the requests are not in this generation's pool any more.
    """
    no_try = {LapseReason.FAILED, LapseReason.DROPPED}
    away = (row for row in rows if isinstance(row, Lapsed) and row.reason in no_try)
    return Counter(row.part.ranges for row in away if row.part.generation == generation)


def _generations(rows: Sequence[Batch], plans: Iterable[IdempotencyKey]) -> list[int]:
    """Return the generations worth planning: the first, and what follows each that is over.

    A plan without a row is over, too, where a lost ledger has forgotten its batch.
    """
    over = {row.part.generation for row in rows if isinstance(row, Lapsed | Collected)}
    known = {row.part.token for row in rows}
    over |= {ids.generation_in(token) for token in plans if token not in known}
    return sorted({1} | over | {generation + 1 for generation in over})


def _overlaps(plan: PartPlan, live: Sequence[tuple[Ordinal, Ordinal]]) -> bool:
    return any(plan.lo < hi and lo < plan.hi for lo, hi in live)


def _planned(info: SetInfo, order: PlanOrder, plan: PartPlan) -> Planned:
    return Planned(part_of(info, order.generation, plan), 1, AT_ONCE)
