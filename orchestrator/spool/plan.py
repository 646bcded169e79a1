"""Plan files: which requests a batch covers, durable under its token before any row knows of it.

`plan/<token>` is one line of JSON (the `PartPlan`), padded with blanks to a multiple of 8 bytes,
and then the runs `[lo, hi)` of its ordinals as pairs of u64. The token follows from the runs, so
planning again after a crash finds the same names.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from math import ceil
from pathlib import Path

import msgspec
import numpy as np

from orchestrator.domain.batches import Mode
from orchestrator.domain.compose import LINES, inline_frame, item_sizes
from orchestrator.domain.failures import INVALID_ARGUMENT, failure
from orchestrator.domain.ids import IdempotencyKey, InstallId, Ordinal, token
from orchestrator.domain.join import LOW
from orchestrator.domain.layout import GENERATION_SHIFT, IN_POOL
from orchestrator.domain.planning import (
    UNBOUNDED,
    Cut,
    Cutter,
    Int64s,
    Measure,
    Runs,
    runs_of,
    stretches,
)
from orchestrator.ports import PartPlan, PlanOrder
from orchestrator.spool import atomic
from orchestrator.spool.index_files import IndexFiles, UInt64s

CHUNK = 1 << 18  # ordinals looked at in one go
INLINE_REQUESTS_MAX = 4_000  # their answers come in one body: at 64k tokens each near 1 GB
PLAN_MODE = 0o600


# ---- files --------------------------------------------------------------------------------------


def write_plan(folder: Path, part: PartPlan, runs: Runs) -> None:
    """Write a plan file, whole and durable."""
    head = msgspec.json.encode(part)
    head += b" " * (-(len(head) + 1) % 8) + b"\n"
    if not (folder / "plan").exists():
        atomic.mkdir(folder / "plan")
    atomic.fsync_dir(folder)  # each time: whoever made it may have died before this
    with atomic.Writer(folder / "plan" / part.token, PLAN_MODE) as writer:
        writer.write(head)
        writer.write(runs.astype("<u8").tobytes())
        writer.commit()


def read_plan(folder: Path, token: IdempotencyKey) -> PartPlan:
    """Return what a plan file says about its part; FileNotFoundError if there is none."""
    with (folder / "plan" / token).open("rb") as file:
        return msgspec.json.decode(file.readline(), type=PartPlan)


def read_runs(folder: Path, token: IdempotencyKey) -> Runs:
    """Return the runs of a plan file; FileNotFoundError if there is none."""
    with (folder / "plan" / token).open("rb") as file:
        file.readline()
        runs: Runs = np.fromfile(file, "<u8").reshape(-1, 2)
    return runs


def mark_path(folder: Path, token: IdempotencyKey) -> Path:
    """Return where the mark lies that a create of this plan may have been sent."""
    return folder / "plan" / f"{token}.sent"


def mark(folder: Path, token: IdempotencyKey) -> None:
    """Leave the mark, durably: an empty file is all in its name."""
    os.close(atomic.create(mark_path(folder, token), PLAN_MODE))
    atomic.fsync_dir(folder / "plan")


def unmark(folder: Path, token: IdempotencyKey) -> None:
    """Take the mark away; where a power cut brings it back, the list is only asked first."""
    atomic.unlink(mark_path(folder, token), missing_ok=True)


def plans(folder: Path) -> Mapping[IdempotencyKey, PartPlan]:
    """Return all plan files of a set."""
    try:
        names = sorted(path.name for path in (folder / "plan").iterdir())
    except FileNotFoundError:
        return {}
    tokens = [IdempotencyKey(name) for name in names if "." not in name]
    return {token: read_plan(folder, token) for token in tokens}


def ranges_digest(runs: Runs) -> str:
    """Return the digest that names exactly these runs."""
    return hashlib.sha256(runs.astype("<u8").tobytes()).hexdigest()


# ---- planning -----------------------------------------------------------------------------------


def cut_pool(folder: Path, order: PlanOrder, install: InstallId) -> list[PartPlan]:
    """Turn the pool into parts and write their plan files. Runs in a worker; repeatable.

    A request that no input file could hold settles as an error.
    """
    with IndexFiles(folder) as index:
        planner = _Planner(folder, order, install, index)
        free = stretches(order.live, len(index.states))
        return [part for lo, hi in free for part in planner.plan(lo, hi)]


class _Planner:
    def __init__(
        self, folder: Path, order: PlanOrder, install: InstallId, index: IndexFiles
    ) -> None:
        self._folder = folder
        self._order = order
        self._install = install
        self._index = index
        self._serial = order.first_serial
        self._count_max = min(order.requests_max, order.limits.requests_per_batch_max)
        self._tokens_max = UNBOUNDED if order.tokens_max is None else order.tokens_max
        # All tokens of a set and generation have one length: the body is measured by any of them.
        self._inline = inline_frame(token(install, order.request_set, order.generation, ""))

    def plan(self, lo: Ordinal, hi: Ordinal) -> Iterator[PartPlan]:
        """Plan what is in the pool between two live envelopes."""
        whole, inline_bytes, too_large = self._measure(lo, hi)
        if whole.count and self._fits_inline(whole, inline_bytes):
            yield self._part(self._whole(lo, hi, whole), "inline")
            return
        bounds = Measure(
            min(self._order.limits.file_max_bytes, self._order.batch_bytes_max),
            self._count_max,
            self._tokens_max,
        )
        cutter = Cutter(bounds, whole - too_large)
        for ordinals, lengths in self._pool(lo, hi):
            sizes = item_sizes(LINES, lengths, ordinals)
            fits = sizes <= self._order.limits.file_max_bytes
            self._settle_large(ordinals[~fits], sizes[~fits])
            tokens = self._tokens(sizes)
            for cut in cutter.feed(ordinals[fits], sizes[fits], tokens[fits]):
                yield self._part(cut, "file")
        for cut in cutter.finish():
            yield self._part(cut, "file")

    def _pool(self, lo: Ordinal, hi: Ordinal) -> Iterator[tuple[Int64s, UInt64s]]:
        """Yield the ordinals in the pool and the lengths of their composed requests, in order."""
        before = self._order.generation - 1
        for start in range(lo, hi, CHUNK):
            states = self._index.states[start : min(start + CHUNK, hi)]
            pool = np.isin(states & LOW, IN_POOL) & (states >> GENERATION_SHIFT == before)
            ordinals = np.flatnonzero(pool).astype(np.int64) + start
            if len(ordinals):
                yield ordinals, self._index.request_lengths(ordinals)

    def _measure(self, lo: Ordinal, hi: Ordinal) -> tuple[Measure, int, Measure]:
        """Return the whole as a file, as an inline body (bytes), and what no file can hold."""
        whole, too_large, inline_items = Measure(), Measure(), 0
        for ordinals, lengths in self._pool(lo, hi):
            sizes = item_sizes(LINES, lengths, ordinals)
            tokens = self._tokens(sizes)
            large = sizes > self._order.limits.file_max_bytes
            whole += _sum(sizes, tokens)
            too_large += _sum(sizes[large], tokens[large])
            inline_items += int(item_sizes(self._inline, lengths, ordinals).sum())
        return whole, self._inline.size(inline_items), too_large

    def _fits_inline(self, whole: Measure, inline_bytes: int) -> bool:
        bytes_max = min(self._order.limits.inline_max_bytes, self._order.batch_bytes_max)
        count_max = min(self._count_max, INLINE_REQUESTS_MAX)
        bounds = Measure(bytes_max, count_max, self._tokens_max)
        tokens = max(whole.tokens, ceil(inline_bytes * self._order.tokens_per_byte))
        return Measure(inline_bytes, whole.count, tokens).within(bounds)

    def _whole(self, lo: Ordinal, hi: Ordinal, whole: Measure) -> Cut:
        """Return the whole stretch as one part."""
        ordinals = np.concatenate([ordinals for ordinals, _ in self._pool(lo, hi)])
        return Cut(runs_of(ordinals), whole)

    def _part(self, cut: Cut, mode: Mode) -> PartPlan:
        ranges = ranges_digest(cut.runs)
        turn = self._order.turned_away.get(ranges, 0)
        named_by = f"{ranges}+{turn}" if turn else ranges
        name = token(self._install, self._order.request_set, self._order.generation, named_by)
        size = cut.measure.bytes
        if mode == "inline":
            size = self._inline_size(cut, name)
        part = PartPlan(
            token=name,
            serial=self._serial,
            lo=cut.lo,
            hi=cut.hi,
            count=cut.measure.count,
            wire_bytes=size,
            tokens=cut.measure.tokens,
            ranges=ranges,
            mode=mode,
        )
        write_plan(self._folder, part, cut.runs)
        self._serial += 1
        return part

    def _inline_size(self, cut: Cut, name: IdempotencyKey) -> int:
        """Return the length of the inline body: each item of a file's is framed otherwise."""
        frame = inline_frame(name)
        wider = frame.bytes_each - LINES.bytes_each
        return frame.size(cut.measure.bytes + cut.measure.count * wider)

    def _tokens(self, sizes: Int64s) -> Int64s:
        estimate: Int64s = np.ceil(sizes * self._order.tokens_per_byte).astype(np.int64)
        return estimate

    def _settle_large(self, ordinals: Int64s, sizes: Int64s) -> None:
        limit = self._order.limits.file_max_bytes
        for ordinal, size in zip(ordinals.tolist(), sizes.tolist(), strict=True):
            error = failure(
                INVALID_ARGUMENT,
                f"the request takes {size} bytes as sent, larger than the {limit} bytes that an "
                "input file may have; shorten it",
            )
            self._index.settle(np.array([ordinal]), error)


def _sum(sizes: Int64s, tokens: Int64s) -> Measure:
    return Measure(int(sizes.sum()), len(sizes), int(tokens.sum()))
