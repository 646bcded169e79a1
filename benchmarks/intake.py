"""How fast a drop becomes index files, against a bare strict loop over the same file, same run.

    python benchmarks/intake.py [--megabytes 256] [--lines 250 2000 50000] [--rounds 3]
                                [--workers 2] [--json FILE]

Intake is all of it: lines, forms, keys, shapes, UTF-8, spans, digests, uniqueness, index files
fsynced, in the daemon's own worker processes. The strict loop does no more than validate every
nested value, UTF-8 included, and hash the key, on one core. Half of the texts are ASCII with
escapes, half raw UTF-8; a third of the requests have a generationConfig. `ratio` is the loop's CPU
seconds over those of intake: what a core of intake is worth; `wall` is the loop's time over
intake's, per core. Rounds alternate; the best of each counts. The exit code is 1 below the floor.
"""

import argparse
import asyncio
import codecs
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import xxhash

from orchestrator.ports import Claim, IndexOrder
from orchestrator.spool.index import Indexing
from orchestrator.spool.meta import Meta, save_meta
from orchestrator.spool.pool import Workers

FLOOR = 0.8
WHOLE = (True,)  # nothing follows
MEGABYTE = 1_000_000
ORDER = IndexOrder(
    kind="generate",
    model="m",
    defaults=None,
    unique_keys=True,
    line_bytes_max=20 * MEGABYTE,
    flaws_kept_max=1000,
    shape="warn",
)
PLAIN = "the of and to in is you that it he was for on are as with his they"
MARKED = "Größe über naïve façade Äpfel 東京 日本語 привет мир καλημέρα"


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement, best of the rounds; MB are 10^6 bytes."""

    line_bytes: int
    lines: int
    megabytes: float
    loop_mb_per_cpu_second: float
    intake_mb_per_cpu_second: float
    intake_mb_per_second: float
    ratio: float
    wall: float
    worker_peak_mb: float


class Nothing(msgspec.Struct, gc=False):
    """Any object: its fields are validated and dropped."""


class Line(msgspec.Struct, gc=False):
    """What the strict loop wants of a line."""

    key: str
    request: Nothing


def strict_loop(path: Path) -> int:
    """Validate each line and hash its key; returns the number of lines."""
    decode, hash_key = msgspec.json.Decoder(Line).decode, xxhash.xxh3_64_intdigest
    hashes, lengths = array("Q"), array("I")
    with path.open("rb", buffering=1 << 18) as file:
        for line in file:
            if not line.isascii():
                codecs.utf_8_decode(line, "strict", *WHOLE)
            hashes.append(hash_key(decode(line).key.encode()))
            lengths.append(len(line))
    return len(hashes)


def write_lines(path: Path, megabytes: int, line_bytes: int) -> int:
    """Write a set of requests; returns how many."""
    chance = random.Random(line_bytes)
    with path.open("w", encoding="utf-8") as file:
        size = count = 0
        while size < megabytes * MEGABYTE:
            line = _line(chance, count, line_bytes)
            file.write(line)
            size += len(line.encode())
            count += 1
    return count


def _line(chance: random.Random, number: int, line_bytes: int) -> str:
    marked = chance.random() < 0.5
    escaped = not marked
    words_of = PLAIN.split(), MARKED.split()
    words, size = [], 0
    while size < line_bytes - 100:
        word = chance.choice(words_of[chance.random() < (0.5 if marked else 0.1)])
        words.append(word)
        size += len(json.dumps(word)) - 1 if escaped else len(word.encode()) + 1
    request: dict[str, object] = {
        "contents": [{"role": "user", "parts": [{"text": " ".join(words)}]}]
    }
    if number % 3 == 0:
        request["generationConfig"] = {"temperature": 0.5, "maxOutputTokens": 100}
    line = {"key": f"request-{number:09}", "request": request}
    return json.dumps(line, ensure_ascii=escaped) + "\n"


async def intake(work: Path, path: Path, workers: Workers, parallel: int) -> None:
    """Index a claimed file from the beginning."""
    folder = work / "set"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.link(path, folder / "input")
    save_meta(folder, Meta("", "set", "", "file", None, None, None, 0, 0, 0, 0, 0, claimed=True))
    claim = Claim("set", "set", "", None, -1, -1, None)
    report = await Indexing(work, workers, parallel=parallel).index(claim, ORDER)
    assert report.requests
    assert not report.flawed + report.duplicates + report.warnings


def measure(line_bytes: int, asked: argparse.Namespace, room: Path) -> Row:
    """Measure one line length."""
    path = room / "lines.jsonl"
    count = write_lines(path, asked.megabytes, line_bytes)
    size = path.stat().st_size / MEGABYTE
    loops, intakes = [], []
    workers = Workers(asked.workers)
    try:
        asyncio.run(intake(room, path, workers, asked.workers))  # starts the processes
        for _ in range(asked.rounds):
            cpu, start = time.process_time(), time.perf_counter()
            assert strict_loop(path) == count
            loops.append((time.process_time() - cpu, time.perf_counter() - start))
            cpu, start = _cpu(), time.perf_counter()
            asyncio.run(intake(room, path, workers, asked.workers))
            intakes.append((_cpu() - cpu, time.perf_counter() - start))
        peak = max(_peak(pid) for pid in _below(os.getpid()))
    finally:
        workers.shutdown()
        path.unlink()
    loop_cpu, loop_wall = map(min, zip(*loops, strict=True))
    cpu, wall = map(min, zip(*intakes, strict=True))
    return Row(
        line_bytes=line_bytes,
        lines=count,
        megabytes=size,
        loop_mb_per_cpu_second=size / loop_cpu,
        intake_mb_per_cpu_second=size / cpu,
        intake_mb_per_second=size / wall,
        ratio=loop_cpu / cpu,
        wall=loop_wall / wall / asked.workers,
        worker_peak_mb=peak,
    )


def _cpu() -> float:
    """Return the CPU seconds of this process and of all below it."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = 0
    for pid in _below(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return own.ru_utime + own.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def _below(pid: int) -> Iterator[int]:
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield int(child)
            yield from _below(int(child))


def _peak(pid: int) -> float:
    """Return a process's largest anonymous memory so far, as its resident peak, in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / MEGABYTE
    return 0.0


def main(arguments: Sequence[str]) -> int:
    """Measure, print a table and, if asked, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--lines", type=int, nargs="+", default=[250, 2000, 50_000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    rows = []
    print(
        "line B    lines     MB   loop MB/cpu-s  intake MB/cpu-s  intake MB/s  ratio  wall  peak MB"
    )
    with tempfile.TemporaryDirectory() as room:
        for line_bytes in asked.lines:
            row = measure(line_bytes, asked, Path(room))
            rows.append(row)
            print(
                f"{row.line_bytes:6} {row.lines:8} {row.megabytes:6.0f} "
                f"{row.loop_mb_per_cpu_second:15.0f} {row.intake_mb_per_cpu_second:16.0f} "
                f"{row.intake_mb_per_second:12.0f} {row.ratio:6.2f} {row.wall:5.2f} "
                f"{row.worker_peak_mb:8.0f}"
            )
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(any(row.ratio < FLOOR for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
