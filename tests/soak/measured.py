"""What is measured while the month goes by, once a second: from /proc and the folders."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MB = 1_000_000
GROWTH_MAX = {"memory": 50 * MB, "descriptors": 20, "ledger": 20 * MB, "work_files": 1000}


@dataclass(frozen=True)
class Sample:
    """One look: real seconds since the start, bytes; `life` counts the daemons."""

    at: float
    life: int
    age: float
    memory: int
    workers_memory: int
    descriptors: int
    ledger: int
    work_files: int
    backlog: int


def look(at: float, life: int, age: float, *, pid: int, state: Path, backlog: int) -> Sample | None:
    """Look at one daemon; None if it died meanwhile."""
    try:
        return Sample(
            at=at,
            life=life,
            age=age,
            memory=_private(pid),
            workers_memory=sum(_private(child) for child in _children(pid)),
            descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
            ledger=sum(_size(path) for path in state.glob("orchestrator.db*")),
            work_files=sum(len(files) for _, _, files in os.walk(state / "work")),
            backlog=backlog,
        )
    except (OSError, ValueError):
        return None


def quarter_medians(samples: Sequence[Sample], name: str) -> tuple[float, float]:
    """Return the median of the first and of the last quarter, for what was measured as `name`."""
    values = [float(getattr(sample, name)) for sample in samples]
    quarter = max(1, len(values) // 4)
    return median(values[:quarter]), median(values[-quarter:])


def grown(samples: Sequence[Sample]) -> list[str]:
    """Name what grew beyond its bound in the last life, from its first to its last quarter."""
    life = last_life(samples)
    found = []
    for name, bound in GROWTH_MAX.items():
        first, last = quarter_medians(life, name)
        if last - first > bound:
            found.append(f"{name} grew from {first:.0f} to {last:.0f}")
    return found


def last_life(samples: Sequence[Sample]) -> list[Sample]:
    """Return what was measured of the last daemon."""
    last = max(sample.life for sample in samples)
    return [sample for sample in samples if sample.life == last]


def _private(pid: int) -> int:
    """Return the proportional share of memory, so that shared libraries count once."""
    for row in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if row.startswith("Pss:"):
            return int(row.split()[1]) * 1024
    raise ValueError("no Pss")


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
