"""Kept answers are joined with their ordinals.

Lines are read by byte ranges, several workers at once; each range leaves its findings in a
scratch file. Then one worker settles by them: first answers.idx, then states.idx.

Trouble: a crash in between leaves nothing that the same join would not write again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from orchestrator.domain.answers import key_nearby, read_lines
from orchestrator.domain.batches import Tally, Usage
from orchestrator.domain.found import FOUND, NOT_JSON, NOT_UTF8, TOO_LONG, Found, Reading
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.domain.join import UNTOUCHED, Counting, Places, Settling, Terms
from orchestrator.domain.planning import ordinals_of
from orchestrator.ports import JoinOrder, JoinReport
from orchestrator.spool import answer_files, atomic, source
from orchestrator.spool.answer_files import ANSWERS_MODE
from orchestrator.spool.index_files import IndexFiles
from orchestrator.spool.plan import read_runs

STEP = 1 << 20
RANGE_BYTES = 16 << 20  # what one call reads
ROWS = 1 << 16  # findings settled in one go
SHOWN_BYTES = 1 << 12  # of an overlong line, at each end


def _found_path(folder: Path, token: IdempotencyKey, number: int) -> Path:
    return folder / "answers" / f".{token}.found-{number}"


# ---- reading a byte range -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one byte range told, besides its findings.

    `broken`: a line is no JSON, as when a download was cut short or a disk lost what it held. The
    service may have it whole.
    """

    usage: Usage
    broken: bool


def ranges(size: int) -> list[tuple[int, int]]:
    """Return the byte ranges in which answers of this size are read."""
    return [
        (start, min(start + RANGE_BYTES, size)) for start in range(0, max(size, 1), RANGE_BYTES)
    ]


def scan_range(
    folder: Path, token: IdempotencyKey, number: int, span: tuple[int, int], line_bytes_max: int
) -> Scanned:
    """Read the lines that begin in a byte range; leaves the findings. Runs in a worker."""
    usage, broken = Usage(), False
    target = _found_path(folder, token, number)
    answers = atomic.open_read(answer_files.kept_path(folder, token))
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    scratch = os.open(target, flags, ANSWERS_MODE)
    try:
        for reading in _readings(answers, span, line_bytes_max):
            usage += reading.usage
            broken |= _is_unreadable(reading.found)
            atomic.write_all(scratch, reading.found.tobytes(), target)
    finally:
        os.close(scratch)
        os.close(answers)
    return Scanned(usage, broken)


def _is_unreadable(found: Found) -> bool:
    codes = found["code"]
    return bool(((codes == NOT_JSON) | (codes == NOT_UTF8)).any())


def _readings(answers: int, span: tuple[int, int], line_bytes_max: int) -> Iterator[Reading]:
    """Yield what the lines are."""
    for at, size, data in _whole_lines(answers, span, min(STEP, line_bytes_max)):
        if size > line_bytes_max:
            yield Reading(_too_long(answers, at, size), Usage())
        else:
            yield read_lines(data if size <= len(data) else _read(answers, at, size), at)


def _whole_lines(
    answers: int, span: tuple[int, int], step: int
) -> Iterator[tuple[int, int, bytes]]:
    """Yield (offset, size, bytes) of whole lines that begin in the span.

    That are many short ones, of up to `step` bytes, or a long one, of which the bytes are a part.
    """
    start, end = span
    at = _after_newline(answers, start - 1) if start else 0
    while at < end:
        data = os.pread(answers, step, at)
        if not data:
            return
        size = data.rfind(b"\n") + 1
        if not size:
            size = _after_newline(answers, at + len(data)) - at
        elif at + size > end:
            size = data.index(b"\n", end - at - 1) + 1
        yield at, size, data[:size]
        at += size


def _after_newline(file: int, at: int) -> int:
    """Return the offset behind the first newline at or after `at`, or the end of the file."""
    while data := os.pread(file, STEP, at):
        place = data.find(b"\n")
        if place >= 0:
            return at + place + 1
        at += len(data)
    return at


def _too_long(answers: int, at: int, size: int) -> Found:
    shown = min(size, SHOWN_BYTES)
    head, tail = _read(answers, at, shown), _read(answers, at + size - shown, shown)
    return np.array([(key_nearby(head, tail), at, shown, TOO_LONG)], FOUND)


def _read(file: int, offset: int, size: int) -> bytes:
    data = os.pread(file, size, offset)
    while len(data) < size:
        more = os.pread(file, size - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data


# ---- settling -----------------------------------------------------------------------------------


def settle_answers(folder: Path, order: JoinOrder, numbers: int, scanned: Scanned) -> JoinReport:
    """Settle by the findings of all ranges. Runs in a worker; repeatable.

    Answers that are broken or lack some settle nothing, unless they are to be taken as they
    are (see `JoinOrder`) or were joined before; nor do answers that hold strangers.
    """
    part = order.part
    runs = read_runs(folder, part.token)
    counting = Counting(Places(runs))
    for found in _findings(folder, part.token, numbers):
        counting.first(found)
    whole = not scanned.broken and not counting.missing().any()
    enough = order.as_it_is and counting.lines - counting.doubled >= order.least
    whole = whole or enough or answer_files.were_joined(folder, part.token)
    report = JoinReport(
        tally=Tally(missing=counting.places.count),
        usage=scanned.usage,
        lines=counting.lines,
        doubled=counting.doubled,
        foreign=counting.foreign,
        malformed=counting.malformed,
        whole=whole,
    )
    if whole and not counting.foreign:
        tally, doubled = _settle(folder, order, counting, numbers)
        report = replace(report, tally=tally, doubled=report.doubled + doubled)
    return report


def clear_findings(folder: Path, token: IdempotencyKey, numbers: int) -> None:
    """Remove the scratch files of a join that is done."""
    for number in range(numbers):
        atomic.unlink(_found_path(folder, token, number), missing_ok=True)


def _findings(folder: Path, token: IdempotencyKey, numbers: int) -> Iterator[Found]:
    for number in range(numbers):
        with _found_path(folder, token, number).open("rb") as file:
            while len(found := np.fromfile(file, FOUND, ROWS)):
                yield found


def _settle(folder: Path, order: JoinOrder, counted: Counting, numbers: int) -> tuple[Tally, int]:
    part, runs = order.part, counted.places.runs
    terms = Terms(answer_files.take(folder, part), part.generation, order.retryable, order.last)
    counting, missing = Counting(counted.places), counted.missing()
    is_exact = counted.lines == len(missing) and not missing.any()  # then each line is the first
    with IndexFiles(folder) as index:
        settling = Settling(terms, counting.places, index.states, index.answers, index.errors)
        for found in _findings(folder, part.token, numbers):
            settling.settle(found if is_exact else counting.first(found))
        place = 0
        for ordinals in ordinals_of(runs, ROWS) if missing.any() else ():
            settling.miss(ordinals[missing[place : place + len(ordinals)]])
            place += len(ordinals)
        index.flush(source.ANSWERS)  # a state vouches for its row: so the rows come first
        place = 0
        for ordinals in ordinals_of(runs, ROWS):
            fates = settling.fates[place : place + len(ordinals)]
            decided = fates != UNTOUCHED
            index.states[ordinals[decided]] = fates[decided]
            place += len(ordinals)
        index.flush(source.STATES)
    return settling.tally, settling.doubled
