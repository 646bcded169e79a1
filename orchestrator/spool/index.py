"""From a claim to its index files: ranges of the source, read once by the workers.

`index.json`, written last, is the commit point: it holds the report, and the order that it is the
answer to. The same order again gives the same answer without reading anything.

Trouble: `WorkersLost` when workers die again and again; a full disk is raised as OSError.
"""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.domain.defaults import default_fields, default_fragments
from orchestrator.domain.ids import ContentHash
from orchestrator.domain.requests import Rules
from orchestrator.ports import Claim, IndexOrder, IndexReport, SourceChanged
from orchestrator.spool import atomic, source
from orchestrator.spool.merge import Merged, merge
from orchestrator.spool.meta import claimed_meta, save_meta
from orchestrator.spool.plain import Unreadable, decompress
from orchestrator.spool.pool import call
from orchestrator.spool.ranges_scan import (
    RANGE_BYTES,
    SCRATCH,
    Counted,
    FlawRecord,
    Range,
    scan_range,
)
from orchestrator.spool.unique import Twins, find_twins

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class Committed(msgspec.Struct):
    """What index.json holds."""

    order: dict[str, Any]
    report: dict[str, Any]
    source: str

    def answers(self, order: IndexOrder) -> bool:
        """Tell whether this is the answer to an order."""
        return self.order == _plain(order)


class Indexing:
    """Reads claims in `work`; implements the intake half of `ports.Work`."""

    def __init__(
        self,
        work: Path,
        workers: Executor,
        *,
        parallel: int,
        reserve_bytes: int = 0,
        range_bytes: int = RANGE_BYTES,
    ) -> None:
        assert range_bytes % source.BLOCK_BYTES == 0
        self._work = work
        self._workers = workers
        self._parallel = parallel
        self._reserve_bytes = reserve_bytes
        self._range_bytes = range_bytes
        self._progress: dict[str, float] = {}

    def progress(self, folder: str) -> float | None:
        """Return which fraction of a claim was read; None when it is not being read."""
        return self._progress.get(folder)

    async def name_run(self, claim: Claim, run: int, copy: int) -> None:
        """Fix durably which run this drop is, before a name derived from it is used."""
        await call(self._workers, _name_run, self._work / claim.folder, run, copy)

    async def index(self, claim: Claim, order: IndexOrder) -> IndexReport:
        """Read a claim once and write its index files; the same again gives the same."""
        folder = self._work / claim.folder
        known = committed(folder)
        if known is not None and (known.answers(order) or (folder / "plan").exists()):
            return msgspec.convert(known.report, IndexReport)
        atomic.unlink(folder / source.INDEX, missing_ok=True)
        self._progress[claim.folder] = 0.0
        try:
            report, twins = await self._read(claim, folder, order)
        except Unreadable as error:
            report, twins = _nothing(str(error)), Twins(0, ())
        finally:
            del self._progress[claim.folder]
        await call(self._workers, _commit, folder, order, report, twins)
        return report

    async def _read(
        self, claim: Claim, folder: Path, order: IndexOrder
    ) -> tuple[IndexReport, Twins]:
        try:
            defaults = default_fields(order.defaults)
            rules = Rules(order.kind, order.model, defaults, order.shape)
        except ValueError as error:
            raise Unreadable(str(error)) from error
        await self._unpack(folder)
        plain = source.plain_path(folder)
        check_start(plain)
        atomic.remove_tree(folder / SCRATCH)
        atomic.mkdir(folder / SCRATCH)
        before = plain.stat()
        counts = await self._scan(claim, list(self._ranges(folder, plain, rules, order)))
        after = plain.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise SourceChanged(f"{plain} changed while it was read; nothing is sent from it")
        fragments = default_fragments(order.defaults)
        merged = await call(self._workers, merge, folder, counts, fragments, order.flaws_kept_max)
        twins = (
            await call(self._workers, find_twins, folder, counts)
            if order.unique_keys
            else Twins(0, ())
        )
        return _report(counts, merged, twins, before.st_size), twins

    def _ranges(
        self, folder: Path, plain: Path, rules: Rules, order: IndexOrder
    ) -> Iterator[Range]:
        size = plain.stat().st_size
        for part, start in enumerate(range(0, size, self._range_bytes)):
            yield Range(
                folder,
                plain,
                part,
                start,
                min(start + self._range_bytes, size),
                rules,
                order.line_bytes_max,
                order.flaws_kept_max,
            )

    async def _unpack(self, folder: Path) -> None:
        how = claimed_meta(folder).compression
        if how is not None and not (folder / source.PLAIN).exists():
            packed, plain = folder / source.INPUT, folder / source.PLAIN
            await call(self._workers, decompress, packed, plain, how, self._reserve_bytes)

    async def _scan(self, claim: Claim, todo: Sequence[Range]) -> list[Counted]:
        """Read all ranges, a few at a time, so that a small set need not wait for a giant one."""
        done: dict[int, Counted] = {}
        waiting = iter(todo)

        async def work() -> None:
            for each in waiting:
                done[each.part] = await call(self._workers, scan_range, each)
                self._progress[claim.folder] = len(done) / len(todo)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._parallel, len(todo))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        return [done[part] for part in sorted(done)]


def check_start(plain: Path) -> None:
    """Refuse what is empty or plainly not UTF-8. Raises Unreadable."""
    with plain.open("rb") as stream:
        start = stream.read(4)
    if not start:
        raise Unreadable("the file is empty")
    if start[:2] in _UTF16 or (b"\0" in start and b"{" in start):
        raise Unreadable("the file is not UTF-8 but UTF-16 or UTF-32; convert it to UTF-8")


def _report(counts: Sequence[Counted], merged: Merged, twins: Twins, size: int) -> IndexReport:
    rows = sum(count.rows for count in counts)
    return IndexReport(
        requests=rows,
        flawed=sum(count.flawed for count in counts),
        duplicates=twins.count,
        warnings=sum(count.warnings for count in counts),
        content=ContentHash(merged.content),
        content_bytes=size,
        wire_bytes=merged.wire_bytes,
        tokens=merged.tokens,
        problem=None if rows else "the file has no requests, only blank lines",
    )


def _nothing(problem: str) -> IndexReport:
    return IndexReport(0, 0, 0, 0, ContentHash(""), 0, 0, 0, problem)


def _plain(order: IndexOrder) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(order)
    return plain


def committed(folder: Path) -> Committed | None:
    """Read index.json, None if there is none."""
    try:
        return msgspec.json.decode((folder / source.INDEX).read_bytes(), type=Committed)
    except FileNotFoundError:
        return None


def index_json(order: IndexOrder, report: IndexReport, plain: str) -> bytes:
    """Return what index.json holds; `plain` names the file that offsets count in."""
    return msgspec.json.encode(Committed(_plain(order), msgspec.to_builtins(report), plain))


def _name_run(folder: Path, run: int, copy: int) -> None:
    meta = claimed_meta(folder)
    meta.run, meta.copy = run, copy
    save_meta(folder, meta)


def _commit(folder: Path, order: IndexOrder, report: IndexReport, twins: Twins) -> None:
    atomic.remove_tree(folder / SCRATCH)
    if twins.count:
        _add_twins(folder / source.FLAWS, twins)
    written = index_json(order, report, source.plain_path(folder).name)
    atomic.write_file(folder / source.INDEX, written)


def _add_twins(path: Path, twins: Twins) -> None:
    """Put the repeated keys before the other flaws: they are why the whole set is refused."""
    records = [
        FlawRecord(
            twin.line,
            twin.ordinal,
            twin.offset,
            0,
            "DUPLICATE_KEY",
            f"the key of line {twin.first_line} comes again",
            msgspec.Raw(twin.key),
        )
        for twin in twins.shown
    ]
    written = b"".join(msgspec.json.encode(record) + b"\n" for record in records)
    atomic.write_file(path, written + path.read_bytes())
