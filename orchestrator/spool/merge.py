"""The parts that the workers wrote → the index files of a set, durable.

One task, all sequential: copies of parts inside the kernel, and a pass over the mapped rows for
what a part could not know: how many lines, rows and side bytes came before it.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from math import ceil
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3

from orchestrator.domain.calibration import TOKENS_PER_BYTE, tokens_in
from orchestrator.domain.defaults import filled_bytes, request_lengths, wire_lengths
from orchestrator.domain.layout import ANSWER, FLAWED, LINE, SIDE, Settled
from orchestrator.spool import atomic, source
from orchestrator.spool.ranges_scan import Counted, FlawRecord, part_path
from orchestrator.spool.source import Rows

ROWS_AT_ONCE = 1 << 16
RECORDS_AT_ONCE = 1000
_COPY_BYTES = 64 << 20
SAMPLED = 32
SAMPLED_BYTES_MIN = 1 << 11  # shorter lines hold no pictures


@dataclass(frozen=True, slots=True)
class Merged:
    """The sums over the whole index."""

    content: str
    wire_bytes: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Before:
    """What came before a part."""

    lines: int
    rows: int
    side_bytes: int


def befores(counts: Sequence[Counted]) -> list[Before]:
    """Return what came before each part, and before the end."""
    found = [Before(0, 0, 0)]
    for count in counts:
        last = found[-1]
        found.append(
            Before(
                last.lines + count.lines,
                last.rows + count.rows,
                last.side_bytes + count.side_bytes,
            )
        )
    return found


def merge(
    folder: Path, counts: Sequence[Counted], fragments: Sequence[bytes], flaws_kept_max: int
) -> Merged:
    """Write lines, states, answers, side, flaws, warnings and blocks from the parts, durably."""
    before = befores(counts)
    _concatenate(folder, counts, "lines", source.LINES)
    _concatenate(folder, counts, "side", source.SIDE_FILE)
    _concatenate(folder, counts, "blocks", source.BLOCKS)
    _settle_offsets(folder, counts, before)
    for name, target in (("flaws", source.FLAWS), ("warnings", source.WARNINGS)):
        _renumber(folder, counts, before, (name, target), flaws_kept_max)
    wire, tokens = _states(folder, before[-1].rows, fragments)
    _answers(folder, before[-1].rows)
    content = blake3((folder / source.BLOCKS).read_bytes()).hexdigest()
    atomic.fsync_dir(folder)
    return Merged(content, wire, without_media(folder, tokens))


def _concatenate(folder: Path, counts: Sequence[Counted], name: str, target: str) -> None:
    path = folder / target
    into = atomic.create(path)
    for count in counts:
        part = atomic.open_read(part_path(folder, count.part, name))
        while atomic.copy_bytes(part, into, _COPY_BYTES, path):
            pass
        os.close(part)
    atomic.fsync(into, path)
    os.close(into)


def _settle_offsets(folder: Path, counts: Sequence[Counted], before: Sequence[Before]) -> None:
    """Add what came before to the rows that count from the beginning of their part."""
    todo = [
        (count, ahead)
        for count, ahead in zip(counts, before, strict=False)
        if (count.keyless and ahead.lines != ahead.rows) or (count.side_bytes and ahead.side_bytes)
    ]
    if not todo:
        return
    lines = source.map_lines(folder, writable=True)
    for count, ahead in todo:
        for at, stop in _steps(ahead.rows, ahead.rows + count.rows):
            rows = lines[at:stop]
            rows["key"][rows["key_length"] == 0] += ahead.lines - ahead.rows
            rows["base"][rows["flags"] & SIDE != 0] += ahead.side_bytes
    source.flush(folder, [source.LINES])


def _renumber(
    folder: Path,
    counts: Sequence[Counted],
    before: Sequence[Before],
    names: tuple[str, str],
    kept_max: int,
) -> None:
    kept = 0
    path = folder / names[1]
    into = atomic.create(path)
    for count, ahead in zip(counts, before, strict=False):
        with part_path(folder, count.part, names[0]).open("rb") as part:
            while some := list(islice(part, min(kept_max - kept, RECORDS_AT_ONCE))):
                kept += len(some)
                data = b"".join(_renumbered(line, ahead) for line in some)
                atomic.write_all(into, data, path)
    atomic.fsync(into, path)
    os.close(into)


def _renumbered(line: bytes, ahead: Before) -> bytes:
    record = msgspec.json.decode(line, type=FlawRecord)
    record.line += ahead.lines + 1
    record.ordinal += ahead.rows
    return msgspec.json.encode(record) + b"\n"


def _states(folder: Path, total: int, fragments: Sequence[bytes]) -> tuple[int, int]:
    """Write which requests are settled as flaws; return the sums of wire bytes and tokens."""
    added = filled_bytes(fragments)
    path = folder / source.STATES
    into = atomic.create(path)
    wire = tokens = 0
    lines: Rows = source.open_lines(folder)
    for at, stop in _steps(0, total):
        rows = lines[at:stop]
        states = np.where(rows["flags"] & FLAWED, Settled.FLAWED, Settled.OPEN).astype(np.uint8)
        atomic.write_all(into, states.tobytes(), path)
        ordinals = np.arange(at, stop, dtype=np.uint64)
        wire += int(wire_lengths(rows, ordinals, added).sum())
        tokens += int(np.ceil(request_lengths(rows, added) * TOKENS_PER_BYTE).sum())
    atomic.fsync(into, path)
    os.close(into)
    return wire, tokens


def may_hold_media(lines: Rows) -> bool:
    """Tell whether lines are long enough, on the whole, for pictures to be in them."""
    return bool(lines.size) and int(lines["length"].sum()) >= SAMPLED_BYTES_MIN * lines.size


def without_media(folder: Path, tokens: int) -> int:
    """Correct an estimate by bytes alone: some requests tell how much of a set is not text."""
    lines: Rows = source.open_lines(folder)
    if not may_hold_media(lines):
        return tokens
    places = np.unique(np.linspace(0, len(lines) - 1, SAMPLED).astype(np.int64))
    by_bytes = by_content = 0
    with source.Source(folder) as opened:
        for place in places.tolist():
            request = opened.request(lines[place])
            by_bytes += ceil(len(request) * TOKENS_PER_BYTE)
            by_content += tokens_in(request)
    return tokens * by_content // by_bytes if by_bytes else tokens


def _answers(folder: Path, total: int) -> None:
    path = folder / source.ANSWERS
    into = atomic.create(path)
    atomic.truncate(into, total * ANSWER.itemsize, path)
    atomic.fsync(into, path)
    os.close(into)


def _steps(start: int, stop: int) -> Iterator[tuple[int, int]]:
    return pairwise([*range(start, stop, ROWS_AT_ONCE), stop])


assert LINE.itemsize == 24
assert ANSWER.itemsize == 12
