"""Many small files dropped at once: all are taken, none twice, and the status socket answers.

    python -m benchmarks.many_files [--files 2000 20000] [--json FILE]

Each file is one request; all of them are there when the daemon starts to look. One job may run,
so that what is measured is intake, with planning beside it. `taken_ms` and `cpu_ms` are for a
file, until the last one is a set. The exit code is 1 when a file was lost or taken twice, when a
status answer took longer than 100 ms, or when a file costs more than 8 ms of CPU.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.processes import MEGABYTE, Watched, cpu_seconds
from benchmarks.world import NEVER, Running, daemon, emulated, write_requests

STATUS_MS_MAX, CPU_MS_MAX = 100.0, 8.0
SECONDS_A_FILE_MAX = 0.1
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement; `lag_ms` is the longest hold of the event loop."""

    files: int
    taken_ms: float
    cpu_ms: float
    status_ms_max: float
    status_ms_median: float
    lag_ms_max: float
    peak_mb: float
    sets: int
    twice: int


@dataclass(slots=True)
class Asked:
    """How long the status socket took, asked again and again, and what it told of the loop."""

    took: list[float] = field(default_factory=list)
    lag: float = 0.0

    @contextmanager
    def asking(self, running: Running) -> Iterator[None]:
        """Ask while the context lasts."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(LOOK_SECONDS):
                began = time.perf_counter()
                told = running.client.status()
                self.took.append(time.perf_counter() - began)
                self.lag = max(self.lag, float(told["service"]["event_loop_lag_seconds"]))

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def sets_of(running: Running) -> int:
    """Return how many sets there are."""
    return sum(running.client.status()["totals"]["sets"].values())


def measure(files: int) -> Row:
    """Let a daemon take so many files."""
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        with emulated(room, NEVER) as (url, _):
            staged = [room / f"file{number:06}.jsonl" for number in range(files)]
            for number, path in enumerate(staged):
                write_requests(path, 1, seed=f"{number} ")
            asked = Asked()
            with daemon(room, url, active_jobs=1) as running:
                began, before = time.perf_counter(), cpu_seconds(running.pid)
                with Watched(running.pid).looking() as watched, asked.asking(running):
                    for path in staged:
                        running.drop(path, path.name)
                    wait(running, files)
                    took, used = time.perf_counter() - began, cpu_seconds(running.pid) - before
                names = [one["name"] for one in running.client.sets()]
    times = sorted(1000 * each for each in asked.took)
    return Row(
        files,
        1000 * took / files,
        1000 * used / files,
        times[-1],
        times[len(times) // 2],
        1000 * asked.lag,
        watched.peak_bytes / MEGABYTE,
        len(names),
        len(names) - len(set(names)),
    )


def wait(running: Running, files: int) -> None:
    """Wait until every file is a set."""
    until = time.monotonic() + 60 + SECONDS_A_FILE_MAX * files
    while (sets := sets_of(running)) < files:
        if time.monotonic() > until:
            raise TimeoutError(f"{sets} of {files} taken; see {running.log}")
        time.sleep(LOOK_SECONDS * 4)


def is_well(row: Row) -> bool:
    """Tell whether all was taken once, quickly enough, and the status answered meanwhile."""
    whole = row.sets == row.files and not row.twice
    return whole and row.status_ms_max <= STATUS_MS_MAX and row.cpu_ms <= CPU_MS_MAX


def main(arguments: Sequence[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    rows = []
    for files in asked.files:
        rows.append(measure(files))
        print(rows[-1], flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(not all(is_well(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
