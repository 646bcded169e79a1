"""The daemon's own folder, put together: implements `ports.Work` on `work/`.

Whatever looks at more than a few bytes runs in the workers; the rest is short enough for here.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from orchestrator.domain.batches import Part, Usage
from orchestrator.domain.ids import IdempotencyKey, InstallId
from orchestrator.ports import (
    Claim,
    IndexOrder,
    IndexReport,
    JoinOrder,
    JoinReport,
    PartPlan,
    PlanOrder,
)
from orchestrator.spool import answer_files, answers, plan, settling, together
from orchestrator.spool.answer_files import PartFile
from orchestrator.spool.answers import Scanned
from orchestrator.spool.body import ComposedBody, sampled
from orchestrator.spool.calls import Calls
from orchestrator.spool.claim import discard, disk_bytes
from orchestrator.spool.index import Indexing
from orchestrator.spool.session import SessionFile

LINE_BYTES_MAX = 256 << 20


class WorkFolder:
    """Claimed sources, their indexes, plans and answers. `parallel` bounds calls at once."""

    def __init__(
        self,
        root: Path,
        install: InstallId,
        workers: Executor,
        *,
        parallel: int = 1,
        reserve_bytes: int = 0,
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> None:
        self._root = root
        self._install = install
        self._workers = workers
        self._calls = Calls(workers, parallel)
        self._line_bytes_max = line_bytes_max
        self._indexing = Indexing(root, workers, parallel=parallel, reserve_bytes=reserve_bytes)

    # ---- intake -------------------------------------------------------------------------------

    async def index(self, claim: Claim, order: IndexOrder) -> IndexReport:
        """Read a claim once and write its index files; the same again gives the same."""
        return await self._indexing.index(claim, order)

    async def index_together(
        self, orders: Sequence[tuple[Claim, IndexOrder]]
    ) -> Sequence[IndexReport | None]:
        """Read claims that are small; None for each that `index` has to read."""
        small = [(claim.folder, order) for claim, order in orders]
        return await self._calls.one(together.index, self._root, small)

    async def name_runs(self, named: Sequence[tuple[Claim, int, int]]) -> None:
        """Fix durably which (claim, run, copy) each of these is, all at once."""
        runs = [(claim.folder, run, copy) for claim, run, copy in named]
        await self._calls.one(together.name_runs, self._root, runs)

    async def name_run(self, claim: Claim, run: int, copy: int) -> None:
        """Fix durably which run this drop is, before a name derived from it is used."""
        await self._indexing.name_run(claim, run, copy)

    def progress(self, folder: str) -> float | None:
        """Return which fraction of a claim was read; None when it is not being read."""
        return self._indexing.progress(folder)

    # ---- plans --------------------------------------------------------------------------------

    async def plan(self, folder: str, order: PlanOrder) -> Sequence[PartPlan]:
        """Cut the pool; plan files are durable before this returns. Empty if the pool is."""
        return await self._calls.one(plan.cut_pool, self._root / folder, order, self._install)

    async def planned(self, folder: str) -> Mapping[IdempotencyKey, PartPlan]:
        """Return every plan file that lies in a set's folder."""
        return await self._calls.one(plan.plans, self._root / folder)

    async def mark_sent(self, folder: str, token: IdempotencyKey) -> None:
        """Leave a durable mark beside the plan that a create is about to be sent."""
        await self._calls.one(plan.mark, self._root / folder, token)

    async def unmark_sent(self, folder: str, token: IdempotencyKey) -> None:
        """Take the mark back: the create was certainly not carried out."""
        await self._calls.one(plan.unmark, self._root / folder, token)

    async def sent(self, folder: str, token: IdempotencyKey) -> bool:
        """Tell whether the mark is there; a rolled-back ledger does not know of it."""
        return plan.mark_path(self._root / folder, token).exists()

    async def pending(self, folder: str, token: IdempotencyKey) -> bool:
        """Tell whether a create of this plan may have been sent and its answers are due."""
        if not await self.sent(folder, token):
            return False
        return await self._calls.one(settling.is_due, self._root / folder, token)

    # ---- what is sent -------------------------------------------------------------------------

    async def sample(self, folder: str, most: int) -> Sequence[bytes]:
        """Return some requests of a set as they are sent, spread evenly over it."""
        return await self._calls.one(sampled, self._root / folder, most)

    def body(self, folder: str, part: Part) -> ComposedBody:
        """Compose what `part` sends: its input file, or its whole inline request body."""
        return ComposedBody(self._root / folder, part, self._workers)

    def session(self, folder: str, part: Part, upload: int) -> SessionFile:
        """Return where the URL of this upload is journaled (mode 0600)."""
        return SessionFile(self._root / folder / "upload" / f"{part.token}-{upload}", self._workers)

    # ---- answers ------------------------------------------------------------------------------

    def answers(self, folder: str, token: IdempotencyKey) -> PartFile:
        """Return the temporary file into which a batch's answers are downloaded."""
        return answer_files.sink(self._root / folder, token)

    async def keep_answers(self, folder: str, token: IdempotencyKey) -> None:
        """Make the downloaded answers durable under their final name."""
        await self._calls.one(answer_files.keep, self._root / folder, token)

    async def have_answers(self, folder: str, token: IdempotencyKey) -> bool:
        """Tell whether whole answers of this batch are on disk already."""
        return answer_files.kept_path(self._root / folder, token).exists()

    async def drop_answers(self, folder: str, token: IdempotencyKey) -> None:
        """Throw away answers that turned out not to be whole."""
        await self._calls.one(answer_files.drop, self._root / folder, token)

    async def join(self, folder: str, order: JoinOrder) -> JoinReport:
        """Pair answers with ordinals and write the index, durably; repeatable.

        Answers that are not whole, or hold strangers, settle nothing (see `JoinOrder.as_it_is`).
        """
        place, token = self._root / folder, order.part.token
        spans = answers.ranges(answer_files.kept_path(place, token).stat().st_size)
        scanned = await self._calls.several(
            [
                partial(answers.scan_range, place, token, number, span, self._line_bytes_max)
                for number, span in enumerate(spans)
            ]
        )
        whole = Scanned(
            sum((one.usage for one in scanned), Usage()), any(one.broken for one in scanned)
        )
        report = await self._calls.one(answers.settle_answers, place, order, len(spans), whole)
        await self._calls.one(answers.clear_findings, place, token, len(spans))
        return report

    # ---- without answers ----------------------------------------------------------------------

    async def open_count(self, folder: str) -> int:
        """Return how many requests are not settled."""
        return await self._calls.one(settling.open_count, self._root / folder)

    async def release(
        self, folder: str, part: Part, last: str | None, code: int, told: str | None = None
    ) -> int:
        """Let a batch without answers go: count the try; settle what is left as errors."""
        place = self._root / folder
        return await self._calls.one(settling.release, place, part, last, code, told)

    async def settle_line(self, folder: str, part: Part, line: int, message: str) -> bool:
        """Settle the request on the 1-based line of the sent file as an error (refused)."""
        return await self._calls.one(settling.settle_line, self._root / folder, part, line, message)

    async def settle_all(self, folder: str, code: int, status: str, message: str) -> int:
        """Settle whatever is still open as an error; returns how many."""
        return await self._calls.one(
            settling.settle_all, self._root / folder, code, status, message
        )

    async def reopen(self, folder: str) -> int:
        """Put the failed requests back into the pool (not the flawed); returns how many."""
        return await self._calls.one(settling.reopen, self._root / folder)

    async def taken(self, folder: str) -> int:
        """Return how many bytes of disk a set's folder takes; 0 when it is not there."""
        return await self._calls.one(disk_bytes, self._root / folder)

    async def remove(self, folder: str) -> None:
        """Remove a set's folder once its results are safe."""
        await self._calls.one(discard, self._root, folder)
