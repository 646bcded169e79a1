"""Counts distinct and repeated requests over all rows, with arrays: eight million rows take seconds
and little memory.

A request's 64-bit mark mixes its body's digest, its identity's digest, and a number for its project
and model. Each pass counts the marks of one share, at most about two million at a time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orchestrator.emulator.job import Job
from orchestrator.emulator.rows import Row

PASS_ROWS = 1_500_000
BLOCK_ROWS = 200_000
ROW = np.dtype(
    [
        ("low", "<u8"),
        ("high", "<u8"),
        ("key", "<u8"),
        ("offset", "<u8"),
        ("tokens", "<u4"),
        ("fate", "u1"),
        ("pad", "V3"),
    ]
)
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)
_MASK = (1 << 64) - 1

Marks = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """One job's rows on disk: which of them were answered, and which fates are not billed."""

    path: Path
    salt: int
    served: int
    unbilled: tuple[int, ...]


def job_numbers(jobs: Sequence[Job]) -> dict[tuple[str, str], int]:
    """Number the pairs of project and model."""
    pairs = dict.fromkeys((job.project, job.model) for job in jobs)
    return {pair: number for number, pair in enumerate(pairs, 1)}


def mark(row: Row, salt: int) -> int:
    """Mark one row, as the arrays are marked."""
    low = int.from_bytes(row.body[:8], "little")
    high = int.from_bytes(row.body[8:], "little")
    mixed = (high * _MIX[0] & _MASK) ^ (row.key * _MIX[1] & _MASK) ^ (salt * _MIX[2] & _MASK)
    return low ^ mixed


def marked(salt: int, marks: set[int]) -> Callable[[Row], bool]:
    """Say of a row of a job with this salt whether its mark is among some."""

    def wanted(row: Row) -> bool:
        return mark(row, salt) in marks

    return wanted


def totals(ledger: Sequence[Rows], pass_rows: int = PASS_ROWS) -> dict[str, int]:
    """Count distinct requests, and how often they were accepted and executed."""
    counts = dict.fromkeys(
        ("distinct", "accepted", "executed", "accepted_again", "executed_again"), 0
    )
    for marks, billed in _passes(ledger, pass_rows):
        distinct, place = np.unique(marks, return_inverse=True)
        executed = np.bincount(place[billed], minlength=len(distinct))
        counts["distinct"] += len(distinct)
        counts["accepted"] += len(marks)
        counts["executed"] += int(billed.sum())
        counts["accepted_again"] += len(marks) - len(distinct)
        counts["executed_again"] += int(np.maximum(executed - 1, 0).sum())
    return counts


def repeated_marks(ledger: Sequence[Rows], most: int) -> set[int]:
    """Find the marks that occur more than once, at most so many of them."""
    found: set[int] = set()
    for marks, _ in _passes(ledger, PASS_ROWS):
        distinct, counts = np.unique(marks, return_counts=True)
        again = distinct[counts > 1][: most - len(found)]
        found.update(int(mark) for mark in again)
        if len(found) >= most:
            break
    return found


def _passes(ledger: Sequence[Rows], pass_rows: int) -> Iterator[tuple[Marks, Flags]]:
    total = sum(rows.path.stat().st_size for rows in ledger) // ROW.itemsize
    passes = total // pass_rows + 1
    for turn in range(passes):
        pieces = [piece for rows in ledger for piece in _pieces(rows, turn, passes)]
        if pieces:
            yield (
                np.concatenate([marks for marks, _ in pieces]),
                np.concatenate([billed for _, billed in pieces]),
            )


def _pieces(rows: Rows, turn: int, passes: int) -> Iterator[tuple[Marks, Flags]]:
    first = 0
    with rows.path.open("rb") as held:
        while block := held.read(ROW.itemsize * BLOCK_ROWS):
            table = np.frombuffer(block, ROW)
            marks = _marks(table, rows.salt)
            ordinals = np.arange(first, first + len(table))
            billed = (ordinals < rows.served) & ~np.isin(table["fate"], rows.unbilled)
            first += len(table)
            mine = marks % np.uint64(passes) == turn
            yield marks[mine], billed[mine]


def _marks(table: npt.NDArray[Any], salt: int) -> Marks:
    high = table["high"] * np.uint64(_MIX[0])
    key = table["key"] * np.uint64(_MIX[1])
    marks: Marks = table["low"] ^ high ^ key ^ np.uint64(salt * _MIX[2] & _MASK)
    return marks
