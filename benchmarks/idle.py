"""What the daemon costs while nothing happens: 1,000 jobs that do not end, 100 sets that wait.

    python -m benchmarks.idle [--jobs 1000] [--sets 100] [--seconds 60] [--json FILE]

Polling is as the settings have it by default. The emulator is another process and not counted.
The exit code is 1 when the daemon needs 1 % of a core or more, or 100 MB.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processes import MEGABYTE, Watched, cpu_seconds
from benchmarks.world import NEVER, Running, daemon, emulated, write_requests
from orchestrator.config.sections import Polling
from orchestrator.spool.thrift import REST_AFTER_SECONDS

CORE_MAX, MEGABYTES_MAX = 0.01, 100
READY_SECONDS_MAX = 3600.0  # a job is created at a time
LOOK_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `core` is CPU seconds over seconds."""

    jobs: int
    sets: int
    seconds: float
    cpu_seconds: float
    core: float
    peak_mb: float


def settled(running: Running, jobs: int, sets: int) -> None:
    """Wait until every job is created and every set was taken."""
    until = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < until:
        found = list(running.client.sets())
        created = sum(one["batches"].get("submitted", 0) for one in found)
        if len(found) == sets + 1 and created == jobs:
            return
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"not all was taken and sent; see {running.log}")


def measure(jobs: int, sets: int, seconds: float) -> Row:
    """Let a daemon wait."""
    polling = Polling()
    low, high = polling.interval_min_seconds, polling.interval_max_seconds
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        with emulated(room, NEVER) as (url, _), ExitStack() as stack:
            with daemon(room, url):
                pass  # the first life makes the ledger, and keeps what it needed for that
            running = stack.enter_context(
                daemon(
                    room,
                    url,
                    requests_per_batch=1,
                    interval=low,
                    interval_max=high,
                    active_jobs=jobs,
                )
            )
            write_requests(room / "made", jobs)
            running.drop(room / "made", "first.jsonl")
            time.sleep(5)
            for number in range(sets):
                write_requests(room / "made", 1, seed=f"{number} ")
                running.drop(room / "made", f"waits{number}.jsonl")
            settled(running, jobs, sets)
            time.sleep(REST_AFTER_SECONDS + 10)  # then the worker processes are gone, too
            before, began = cpu_seconds(running.pid), time.perf_counter()
            with Watched(running.pid).looking() as watched:
                time.sleep(seconds)
            used, took = cpu_seconds(running.pid) - before, time.perf_counter() - began
    return Row(jobs, sets, took, used, used / took, watched.peak_bytes / MEGABYTE)


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    row = measure(asked.jobs, asked.sets, asked.seconds)
    print(row)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row)], indent=2) + "\n")
    return int(row.core >= CORE_MAX or row.peak_mb > MEGABYTES_MAX)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
