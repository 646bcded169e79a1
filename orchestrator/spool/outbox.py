"""The outbox: results in input order, written by several workers at once, `summary.json` last.

Trouble: `OutboxTaken` when the name belongs to somebody else, `SourceGone` when the answers of a
first run were removed. A delivery that is repeated writes the same bytes again.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict
from functools import partial
from itertools import accumulate
from pathlib import Path

import msgspec

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import SetId
from orchestrator.domain.request_sets import SetInfo, Totals
from orchestrator.ports import Delivery, OutboxTaken, Refusal, SourceChanged, SourceGone
from orchestrator.spool import delivered, publish, refused, result_files, source
from orchestrator.spool.calls import Calls
from orchestrator.spool.filling import fill
from orchestrator.spool.publish import Published
from orchestrator.spool.rejects import reject
from orchestrator.spool.results import Origin, Stretch, WrongResults

MEASURED = 1 << 18  # requests whose lines one call measures
RESULTS = "results.jsonl"
MATRIX = "embeddings.npy"
PARTS = "parts"
NONE = "none"


class _Options(msgspec.Struct):
    compress: str = NONE
    compact: str = NONE


class _Told(msgspec.Struct):
    set: str
    answered: int
    failed: int


class FolderOutbox:
    """Implements `ports.Outbox` on folders."""

    def __init__(
        self, outbox: Path, rejected: Path, work: Path, workers: Executor, *, parallel: int = 1
    ) -> None:
        self._outbox = outbox
        self._rejected = rejected
        self._work = work
        self._calls = Calls(workers, parallel)
        self._progress: dict[SetId, float] = {}

    def progress(self, request_set: SetId) -> float | None:
        """Return which fraction of a set's results is written; None when none are being."""
        return self._progress.get(request_set)

    async def publish(
        self, info: SetInfo, summary: Mapping[str, object], since: str | None
    ) -> Delivery:
        """Write the results of a set in input order and, last, its summary; repeatable.

        Raises SourceChanged when the claimed input, which holds the users' keys, is gone.
        """
        folder = await self._calls.one(publish.born, self._outbox, info.outbox, info.id)
        told = publish.concluded(folder)
        if told is None:
            origin = Origin(self._work / info.folder, self._work / (since or info.folder))
            if since is not None and not (origin.answers / source.STATES).exists():
                raise SourceGone(f"{origin.answers} was removed; the drop is run for itself")
            if not (lines := source.plain_path(self._work / info.folder)).exists():
                raise SourceChanged(f"{lines} is gone and holds the keys of its answers")
            told = await self._write(info, summary, origin, folder)
        known = msgspec.json.decode(told, type=_Told)
        totals = Totals(known.answered, known.failed)
        return Delivery(info.outbox, totals, publish.digest_of(told))

    async def finished(self, infos: Sequence[SetInfo]) -> Sequence[SetId]:
        """Return those of the sets in whose folder a summary.json lies, whoever's it is."""
        names = [info.outbox for info in infos]
        there = await self._calls.one(delivered.finished, self._outbox, names)
        return [info.id for info in infos if info.outbox in there]

    async def delivered(self, info: SetInfo) -> Delivery | None:
        """Return what lies in the set's folder if it is this very set's, and whole to the byte."""
        return await self._calls.one(delivered.delivered, self._outbox, info)

    async def publish_part(self, info: SetInfo, part: Part) -> None:
        """Write one batch's results early, under `parts/`; repeatable.

        Nothing if the set is finished, or if its name has become somebody else's meanwhile.
        """
        try:
            folder = await self._calls.one(publish.born, self._outbox, info.outbox, info.id)
        except OutboxTaken:  # the whole is delivered under another name
            return
        if publish.concluded(folder) is not None:
            return
        origin = Origin(self._work / info.folder, self._work / info.folder)
        parts = await self._calls.one(publish.subfolder, folder, PARTS)
        name = f"{part.serial:05d}.jsonl"
        target = await self._calls.one(publish.begin, parts, name, info.id)
        await self._calls.one(result_files.write_part, origin, part, target)
        await self._calls.one(publish.appear, target, parts / name)

    async def reject(self, info: SetInfo, reason: str, summary: Mapping[str, object]) -> None:
        """Move a refused input with its flaws to `rejected/`; repeatable."""
        await self._calls.one(
            reject, self._rejected, self._work / info.folder, info, reason, summary
        )

    async def refusals(self) -> Sequence[Refusal]:
        """Return what lies whole in `rejected/`."""
        return await self._calls.one(refused.refusals, self._rejected)

    async def forget(self, refusal: Refusal) -> None:
        """Remove what was refused, unless another refusal has taken its place; repeatable."""
        await self._calls.one(refused.forget, self._rejected, refusal)

    async def _write(
        self, info: SetInfo, summary: Mapping[str, object], origin: Origin, folder: Path
    ) -> bytes:
        options = msgspec.json.decode(info.options, type=_Options)
        compact = options.compact if info.kind == "embed" else NONE
        self._progress[info.id] = 0.0
        try:
            stretches = await self._measure(info, origin)
            if options.compress == compact == NONE:
                files = await self._write_plain(info, origin, folder, stretches)
            else:
                files = await self._write_stream(info, origin, folder, options.compress, compact)
            _check(info, next(iter(files.values())), stretches)
            for part in sorted((folder / PARTS).glob("*.jsonl")):
                files[f"{PARTS}/{part.name}"] = await self._calls.one(publish.digest, part)
        finally:
            del self._progress[info.id]
        told = _summary(info, summary, stretches, files)
        return await self._calls.one(publish.conclude, folder, told)

    async def _write_plain(
        self, info: SetInfo, origin: Origin, folder: Path, stretches: Sequence[Stretch]
    ) -> dict[str, Published]:
        target = await self._calls.one(publish.begin, folder, RESULTS, info.id)
        written = await self._fill(info, origin, stretches, target)
        await self._calls.one(partial(publish.appear, synced=True), target, folder / RESULTS)
        return {RESULTS: written}

    async def _write_stream(
        self, info: SetInfo, origin: Origin, folder: Path, compress: str, compact: str
    ) -> dict[str, Published]:
        name = RESULTS if compress == NONE else f"{RESULTS}.{compress}"
        target = await self._calls.one(publish.begin, folder, name, info.id)
        matrix: Path | str = compact
        if compact == "npy":
            matrix = await self._calls.one(publish.begin, folder, MATRIX, info.id)
        written = await self._calls.one(
            result_files.write_stream, origin, info.requests, target, compress, matrix
        )
        if isinstance(matrix, Path):
            await self._calls.one(publish.appear, matrix, folder / MATRIX)
        await self._calls.one(publish.appear, target, folder / name)
        files = {name: written["results"]}
        return files | {MATRIX: written["matrix"]} if "matrix" in written else files

    async def _measure(self, info: SetInfo, origin: Origin) -> list[Stretch]:
        """Measure all results; what the stretches before it come to is each one's place."""
        calls = [
            partial(result_files.measure, origin, lo, min(lo + MEASURED, info.requests))
            for lo in range(0, info.requests, MEASURED)
        ]
        return [stretch for each in await self._calls.several(calls) for stretch in each]

    async def _fill(
        self, info: SetInfo, origin: Origin, stretches: Sequence[Stretch], target: Path
    ) -> Published:
        """Write all stretches, each at its place: what the ones before it come to."""
        ends = list(accumulate((stretch.bytes for stretch in stretches), initial=0))
        writes = [
            partial(result_files.write_stretch, origin, stretch, target, at)
            for stretch, at in zip(stretches, ends, strict=False)
        ]

        def told(done: int) -> None:
            self._progress[info.id] = done / len(writes)

        return await fill(self._calls, target, writes, ends[1:], told)


def _check(info: SetInfo, written: Published, stretches: Sequence[Stretch]) -> None:
    """Compare what was written with what was asked: one line for each request."""
    lines = sum(stretch.answered + stretch.failed for stretch in stretches)
    if not written.lines == lines == info.requests:
        raise WrongResults(
            f"{info.outbox}: {info.requests} requests but {written.lines} result lines; "
            "nothing was published: run `orchestrator fsck`"
        )


def _summary(
    info: SetInfo,
    told: Mapping[str, object],
    stretches: Sequence[Stretch],
    files: Mapping[str, Published],
) -> Mapping[str, object]:
    return {
        "set": info.id,
        "name": info.name,
        "content": info.content,
        "fingerprint": info.fingerprint,
        "requests": info.requests,
        "answered": sum(stretch.answered for stretch in stretches),
        "failed": sum(stretch.failed for stretch in stretches),
        **told,
        "files": {name: asdict(file) for name, file in files.items()},
    }
