"""What one request costs, from ten thousand in a set to ten million: from drop to `summary.json`.

    python -m benchmarks.scale [--requests 10000 100000 1000000 10000000] [--json FILE]

One daemon delivers set after set. CPU is of the daemon and its workers, memory is their
proportional share without mapped index files. The exit code is 1 when a bound of `Bounds` is
broken, or when a request of the largest set costs a fifth more than one of the set of 100,000.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import MEGABYTE, Watched, cpu_seconds
from benchmarks.world import Running, daemon, emulated, write_requests

MEGABYTES_MAX = 400
INDEX_BYTES_MAX = 40
GROWTH_MAX = 1.2
SET_SECONDS_MAX = 3600.0
LINE_BYTES = 250
INDEX = ("lines.idx", "states.idx", "answers.idx", "blocks.idx")


@dataclass(frozen=True, slots=True)
class Row:
    """One set: CPU of daemon and workers, peak of their memory, index bytes a request."""

    requests: int
    megabytes: float
    seconds: float
    cpu_seconds: float
    cpu_us_per_request: float
    peak_mb: float
    mapped_mb: float
    index_bytes_per_request: float
    ledger_mb: float


def deliver(running: Running, room: Path, requests: int) -> Row:
    """Drop one set and wait until it is delivered."""
    path, name = room / "made.jsonl", f"set{requests}"
    size = write_requests(path, requests, LINE_BYTES, seed=f"{requests} ")
    before, began = cpu_seconds(running.pid), time.perf_counter()
    with Watched(running.pid).looking() as watched:
        running.drop(path, f"{name}.jsonl")
        summary = running.summary(name, SET_SECONDS_MAX)
    took, used = time.perf_counter() - began, cpu_seconds(running.pid) - before
    assert summary["answered"] == requests, summary
    return Row(
        requests=requests,
        megabytes=size / MEGABYTE,
        seconds=took,
        cpu_seconds=used,
        cpu_us_per_request=1e6 * used / requests,
        peak_mb=watched.peak_bytes / MEGABYTE,
        mapped_mb=watched.peak_mapped_bytes / MEGABYTE,
        index_bytes_per_request=_index_bytes(running.state, requests) / requests,
        ledger_mb=_ledger_bytes(running.state) / MEGABYTE,
    )


def _index_bytes(state: Path, requests: int) -> int:
    """Return the bytes of the index files of the set that has so many requests."""
    sizes = [
        [(folder / name).stat().st_size for name in INDEX if (folder / name).exists()]
        for folder in (state / "work").iterdir()
        if (folder / "states.idx").exists() and (folder / "states.idx").stat().st_size == requests
    ]
    return max(map(sum, sizes), default=0)


def _ledger_bytes(state: Path) -> int:
    return sum(path.stat().st_size for path in state.glob("orchestrator.db*"))


def measure(sizes: Sequence[int], folder: str | None) -> list[Row]:
    """Deliver sets of these sizes."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        room = Path(name)
        with emulated(room) as (url, _):
            with daemon(room, url):
                pass  # the first life makes the ledger
            with daemon(room, url) as running:
                time.sleep(2)
                rows = []
                for size in sizes:
                    rows.append(deliver(running, room, size))
                    print(rows[-1], flush=True)
                return rows


def keeps(rows: Sequence[Row]) -> bool:
    """Tell whether every bound is kept."""
    reference = next((row for row in rows if row.requests >= 100_000), rows[0])
    return all(
        row.peak_mb <= MEGABYTES_MAX
        and row.index_bytes_per_request <= INDEX_BYTES_MAX
        and row.cpu_us_per_request <= GROWTH_MAX * reference.cpu_us_per_request
        for row in rows
        if row.requests >= reference.requests
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    sizes = [10_000, 100_000, 1_000_000, 10_000_000]
    parser.add_argument("--requests", type=int, nargs="+", default=sizes)
    parser.add_argument("--dir", default=None, help="where to work: about 15 GB for ten million")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    rows = measure(asked.requests, asked.dir)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(not keeps(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
