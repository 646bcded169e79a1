"""Files of result lines, in input order.

A stretch of ordinals is measured first, so that several workers can write their stretches of one
file at once, each at its place. All of it runs in workers and can be repeated.
"""

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from zstandard import ZstdCompressor

from orchestrator.domain.batches import Part
from orchestrator.domain.join import LOW
from orchestrator.domain.layout import Settled
from orchestrator.domain.planning import ordinals_of
from orchestrator.spool import atomic, source
from orchestrator.spool.extents import split_by_bytes
from orchestrator.spool.matrix import Matrix, in_base64
from orchestrator.spool.plan import read_runs
from orchestrator.spool.publish import Published, digest, lines_in
from orchestrator.spool.results import Change, Origin, Results, Stretch, WrongResults

STRETCH = 1 << 16  # requests whose lines one call writes, at most,
STRETCH_BYTES = 8 << 20  # unless their answers come to more
GZIP_LEVEL = 6
ZSTD_LEVEL = 3


def measure(origin: Origin, lo: int, hi: int) -> list[Stretch]:
    """Measure the results of `[lo, hi)` stretch by stretch. Runs in a worker."""
    with Results(origin) as results:
        stretches = split_by_bytes(results.lengths(lo, hi), STRETCH_BYTES, STRETCH)
        return [results.measure(lo + begin, lo + end) for begin, end in stretches]


def write_stretch(origin: Origin, stretch: Stretch, target: Path, offset: int) -> int:
    """Write the result lines of a stretch at their place in a file; returns how many lines.

    Runs in a worker, several at once on one file; repeatable.
    """
    end, lines = offset + stretch.bytes, 0
    with Results(origin) as results, _opened(target) as file:
        os.lseek(file, offset, os.SEEK_SET)
        for text in results.texts(np.arange(stretch.lo, stretch.hi)):
            atomic.write_all(file, text, target)
            offset += len(text)
            lines += lines_in(text)
        atomic.write_back(file, end - stretch.bytes, stretch.bytes)
    if offset != end:
        raise WrongResults(f"{target}: {offset} where {end} was measured; nothing was published")
    return lines


def write_part(origin: Origin, part: Part, target: Path) -> None:
    """Write the results of the requests of a batch that are settled. Runs in a worker."""
    states = source.open_states(origin.answers)
    with Results(origin) as results, _opened(target) as file:
        for ordinals in ordinals_of(read_runs(origin.answers, part.token), STRETCH):
            settled = ordinals[np.isin(states[ordinals] & LOW, (Settled.RESPONSE, Settled.ERROR))]
            for text in results.texts(settled):
                atomic.write_all(file, text, target)


def write_stream(
    origin: Origin, requests: int, target: Path, compress: str, matrix: Path | str
) -> dict[str, Published]:
    """Write all results as one stream, compressed or with compact embeddings or both.

    `matrix` is a file for them, or "base64" or "none". Returns what was written under "results"
    (the lines are those inside it) and, if there is one, "matrix" (its rows). Runs in a worker;
    repeatable. One stream, because many readers stop at the end of the first.
    """
    lines = 0
    with ExitStack() as stack:
        results = stack.enter_context(Results(origin))
        change: Change | None = in_base64 if matrix == "base64" else None
        if isinstance(matrix, Path):
            change = stack.enter_context(Matrix.of(results, matrix, requests))
        file = stack.enter_context(_opened(target))
        stream = stack.enter_context(_packer(compress, file, target))
        for start in range(0, requests, STRETCH):
            ordinals = np.arange(start, min(start + STRETCH, requests))
            for text in results.texts(ordinals, change):
                stream.write(text)
                lines += text.count(b"\n")
    files = {"results": replace(digest(target), lines=lines)}
    if isinstance(matrix, Path):
        files["matrix"] = replace(digest(matrix), lines=requests)
    return files


@contextmanager
def _opened(target: Path) -> Iterator[int]:
    file = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


class _Into:
    """A file as compressors want it."""

    def __init__(self, file: int, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, data: bytes) -> int:
        atomic.write_all(self._file, data, self._path)
        return len(data)

    def flush(self) -> None:
        """Nothing is held here."""


@contextmanager
def _packer(how: str, file: int, path: Path) -> Iterator[Any]:
    atomic.truncate(file, 0, path)
    into: Any = _Into(file, path)
    match how:
        case "none":
            yield into
        case "gz":
            with gzip.GzipFile("", "wb", GZIP_LEVEL, into, mtime=0) as stream:
                yield stream
        case "zst":
            with ZstdCompressor(level=ZSTD_LEVEL).stream_writer(into, closefd=False) as stream:
                yield stream
        case _:
            raise ValueError(f"results cannot be compressed as {how!r}: none, gz or zst")
