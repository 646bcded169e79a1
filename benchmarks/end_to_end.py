"""From drop to `summary.json`, against a script that only uploads, polls and downloads.

    python -m benchmarks.end_to_end [--requests 100000] [--rounds 3]

Both talk to the emulator, whose CPU is not counted. The daemon and its workers are counted from
before the drop until `summary.json` is there, and apart from that from their start; the script
from its start, for it does not live longer than its one file.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import MEGABYTE, Watched, cpu_seconds, end, start
from benchmarks.world import MODEL, daemon, emulated, write_requests

RATIO_MAX, MEGABYTES_MAX = 1.3, 100


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: CPU seconds, best of the rounds; MB are 10^6 bytes, worst of the rounds."""

    requests: int
    script_cpu_seconds: float
    script_peak_mb: float
    cpu_seconds: float
    start_cpu_seconds: float
    seconds: float
    ratio: float
    peak_mb: float
    mapped_mb: float


def script(room: Path, url: str, source: Path) -> tuple[float, float]:
    """Run the script; returns CPU seconds and peak bytes."""
    arguments = [str(Path(__file__).with_name("sdk_script.py")), url, str(source)]
    process = start([*arguments, str(room / "out"), MODEL], room / "script.log")
    used = 0.0
    with Watched(process.pid).looking() as watched:
        while process.poll() is None:
            used = max(used, cpu_seconds(process.pid))
            time.sleep(0.02)
    assert process.returncode == 0, (room / "script.log").read_text()
    end(process)
    return used, watched.peak_bytes


def ours(
    room: Path, url: str, requests: int, rounds: int
) -> list[tuple[float, float, float, int, int]]:
    """Deliver some sets; returns (CPU, CPU of the start, seconds, peak, mapped) of each."""
    found = []
    with daemon(room, url):
        pass  # the first life makes the ledger
    with daemon(room, url) as running:
        time.sleep(2)
        begun = cpu_seconds(running.pid)
        for number in range(rounds):
            path = room / "made.jsonl"
            write_requests(path, requests, seed=f"{number} ")
            before, began = cpu_seconds(running.pid), time.perf_counter()
            with Watched(running.pid).looking() as watched:
                running.drop(path, f"set{number}.jsonl")
                summary = running.summary(f"set{number}", 300)
            assert summary["answered"] == requests, summary
            took = time.perf_counter() - began
            used = cpu_seconds(running.pid) - before
            found.append((used, begun, took, watched.peak_bytes, watched.peak_mapped_bytes))
    return found


def measure(requests: int, rounds: int) -> Row:
    """Run both."""
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        write_requests(room / "source.jsonl", requests, seed="s ")
        with emulated(room) as (url, _):
            scripts = [script(room, url, room / "source.jsonl") for _ in range(rounds)]
            rows = ours(room, url, requests, rounds)
    cpu, used = min(one[0] for one in scripts), min(row[0] for row in rows)
    return Row(
        requests=requests,
        script_cpu_seconds=cpu,
        script_peak_mb=max(one[1] for one in scripts) / MEGABYTE,
        cpu_seconds=used,
        start_cpu_seconds=rows[0][1],
        seconds=min(row[2] for row in rows),
        ratio=used / cpu,
        peak_mb=max(row[3] for row in rows) / MEGABYTE,
        mapped_mb=max(row[4] for row in rows) / MEGABYTE,
    )


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    row = measure(asked.requests, asked.rounds)
    print(row)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row)], indent=2) + "\n")
    return int(row.ratio > RATIO_MAX or row.peak_mb > MEGABYTES_MAX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
