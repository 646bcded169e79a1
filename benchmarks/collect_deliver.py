"""How fast answers become results, against `cp` and fsync of the same bytes in the same run.

    python benchmarks/collect_deliver.py [--megabytes 512] [--lines 250 2000 50000] [--rounds 5]
                                         [--order in-order shuffled] [--workers 2] [--json FILE]

One batch is downloaded already, as in a real run where that took minutes; what is timed is the
rest: keep the answers durably, pair them with their requests, settle the index, deliver
`results.jsonl` in input order under the user's keys, `summary.json` last, all of it fsynced. The
workers are those of the daemon, started before. `cp` copies the answers file and `sync FILE`
makes the copy durable. Rounds alternate; the medians count. Before each, what is dirty is synced
and as much memory is touched as it will need: a virtual machine that gave free memory back to its
host pays for each page that it asks for again, and whoever comes first would pay for both. CPU
seconds are those of user code and system calls, ours with the workers'; the kernel's own threads,
which write pages out, are nobody's. The exit code is 1 when a ratio is below its floor.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path

import numpy as np
from blake3 import blake3

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import ContentHash, Fingerprint, InstallId, JobName, ProjectName, SetId
from orchestrator.domain.layout import ANSWER, LINE
from orchestrator.domain.policy import RETRYABLE_CODES, Limits
from orchestrator.domain.request_sets import SetInfo
from orchestrator.ports import JoinOrder, PlanOrder, part_of
from orchestrator.spool import source
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Workers
from orchestrator.spool.work import WorkFolder

FLOORS = {"in-order": 0.5, "shuffled": 0.3}
MEGABYTE = 1_000_000
FOLDER = "set"
KEY_DIGITS = 9
KEY_LAST = 6  # times as often as it comes first
PAGE_BYTES = 4096
SPARE_BYTES = 256 << 20
UNBOUNDED = 1 << 40


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: medians of the rounds."""

    line_bytes: int
    order: str
    lines: int
    megabytes: float
    copy_mb_per_second: float
    our_mb_per_second: float
    ratio: float
    collect_seconds: float
    deliver_seconds: float
    copy_cpu_seconds: float
    our_cpu_seconds: float
    loop_lag_ms: float
    worker_peak_mb: float


_FRAME = b'{"key":"k%0*d","request":{"contents":[{"parts":[{"text":"%b"}]}]}}\n'


def lay_down(work: Path, requests: int, line_bytes: int = 160) -> None:
    """Write the folder of an indexed set: lines and keys of one width."""
    folder = work / FOLDER
    folder.mkdir(parents=True)
    head, key_bytes = len(b'{"key":'), KEY_DIGITS + 3
    text = (b"words of a prompt, " * (line_bytes // 19 + 1))[: max(line_bytes - 75, 1)]
    rows = np.zeros(requests, LINE)
    with (folder / source.INPUT).open("wb") as file:
        for start in range(0, requests, 1000):
            numbers = range(start, min(start + 1000, requests))
            file.write(b"".join(_FRAME % (KEY_DIGITS, number, text) for number in numbers))
    size = (folder / source.INPUT).stat().st_size // requests
    rows["base"] = np.arange(requests, dtype=np.uint64) * size
    rows["request"] = head + key_bytes + len(b',"request":')
    rows["length"] = size - 2 - rows["request"][0]
    rows["key"], rows["key_length"] = head, key_bytes
    rows.tofile(folder / source.LINES)
    np.zeros(requests, np.uint8).tofile(folder / source.STATES)
    np.zeros(requests, ANSWER).tofile(folder / source.ANSWERS)
    for name in (source.FLAWS, source.SIDE_FILE):
        (folder / name).write_bytes(b"")
    with (folder / source.INPUT).open("rb") as file:
        digests = [
            blake3(block).digest() for block in iter(lambda: file.read(source.BLOCK_BYTES), b"")
        ]
    (folder / source.BLOCKS).write_bytes(b"".join(digests))
    (folder / source.INDEX).write_text(json.dumps({"order": {"defaults": None}}))


def answers(path: Path, requests: int, line_bytes: int, order: str) -> None:
    """Write answer lines as the service does: members in any order, the key mostly last."""
    frames = _answer_frames()
    text = ("naïve words, \\n and more of them. " * (line_bytes // 30 + 1)).encode()
    text = text[: max(line_bytes - len(frames[0]), 0)].decode("utf-8", "ignore").encode()
    text = text.rstrip(b"\\")
    lines = [frame.replace(b"%b", text) for frame in frames]
    ordinals = np.arange(requests)
    if order == "shuffled":
        np.random.default_rng(1).shuffle(ordinals)
    with path.open("wb") as file:
        for start in range(0, requests, 1000):
            some = ordinals[start : start + 1000].tolist()
            file.write(b"".join([lines[each % len(lines)] % each for each in some]))


def _answer_frames() -> list[bytes]:
    """Return lines with places for their text and key: every order of what matters, evenly."""
    members = [
        b'"candidates":[{"content":{"parts":[{"text":"%b"}],"role":"model"},"finishReason":"STOP"}]',
        b'"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":34,"totalTokenCount":46}',
        b'"modelVersion":"m"',
    ]
    responses = [b'"response":{%b}' % b",".join(order) for order in permutations(members)]
    key = b'"key":"%d"'
    last = [b"{%b}\n" % b",".join([response, key]) for response in responses]
    first = [b"{%b}\n" % b",".join([key, response]) for response in responses]
    return last * KEY_LAST + first


def about(requests: int) -> SetInfo:
    """Return what the ledger would know of the set."""
    return SetInfo(
        id=SetId("abcdefghij"),
        name="drop",
        profile="default",
        project=ProjectName("default"),
        kind="generate",
        model="m",
        folder=FOLDER,
        outbox="drop",
        fingerprint=Fingerprint("f"),
        content=ContentHash("0" * 64),
        content_bytes=1,
        requests=requests,
        flawed=0,
        tokens=1,
        priority=0,
        run=0,
        options="{}",
        answered_from=None,
        received_at=datetime.now(UTC),
    )


async def lag(found: list[float]) -> None:
    """Note how late the loop comes back to a sleeper."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.005)
        found.append(time.perf_counter() - before - 0.005)


async def ours(
    root: Path, template: Path, requests: int, workers: Workers, many: int
) -> Mapping[str, float]:
    """Collect and deliver once; returns seconds."""
    (root / "outbox").mkdir()
    lay_down(root / "work", requests)
    work = WorkFolder(root / "work", InstallId("0" * 16), workers, parallel=many)
    outbox = FolderOutbox(root / "outbox", root, root / "work", workers, parallel=many)
    info = about(requests)
    limits = Limits(inline_max_bytes=0, file_max_bytes=UNBOUNDED, requests_per_batch_max=UNBOUNDED)
    order = PlanOrder(
        info.id, 1, [], limits, UNBOUNDED, UNBOUNDED, None, 0.25, "generate", "m", 1
    )  # fmt: skip
    (plan,) = await work.plan(FOLDER, order)
    part: Part = part_of(info, 1, plan)
    work.answers(FOLDER, part.token).restart()
    shutil.copyfile(template, root / "work" / FOLDER / "answers" / f"{part.token}.part")
    _settled(template)
    lags: list[float] = []
    async with asyncio.TaskGroup() as group:
        probe = group.create_task(lag(lags))
        cpu, start = _cpu(), time.perf_counter()
        await work.keep_answers(FOLDER, part.token)
        report = await work.join(FOLDER, JoinOrder(part, JobName("b"), RETRYABLE_CODES, last=True))
        joined = time.perf_counter()
        delivery = await outbox.publish(info, {}, None)
        done = time.perf_counter()
        cpu = _cpu() - cpu
        probe.cancel()
    assert report.tally.answered == delivery.totals.answered == requests, report
    return {
        "join": joined - start,
        "deliver": done - joined,
        "whole": done - start,
        "cpu": cpu,
        "lag": max(lags),
    }


def _cpu() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    ticks = os.sysconf("SC_CLK_TCK")
    total = own.ru_utime + own.ru_stime
    for pid in _children(os.getpid()):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


def _peak(pid: int) -> int:
    """Return the most bytes a process ever had resident, mapped pages of files included."""
    status = Path(f"/proc/{pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, path.read_text().split()):
            found += [child, *_children(child)]
    return found


def copied(template: Path, target: Path) -> Mapping[str, float]:
    """Copy and sync once; returns seconds."""
    _settled(template)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(["cp", "--reflink=never", template, target], check=True)
    subprocess.run(["sync", target], check=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    target.unlink()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"whole": seconds, "cpu": cpu}


def _settled(template: Path) -> None:
    """Leave nothing to write, and enough free memory that was in use just now."""
    os.sync()
    np.zeros(2 * template.stat().st_size + SPARE_BYTES, np.uint8)[::PAGE_BYTES] = 1


def _median(rounds: Sequence[Mapping[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in rounds)


def measure(options: argparse.Namespace, line_bytes: int, order: str, workers: Workers) -> Row:
    """Measure one kind of answers."""
    requests = max(options.megabytes * MEGABYTE // line_bytes, 1)
    copies: list[Mapping[str, float]] = []
    rounds: list[Mapping[str, float]] = []
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        root = Path(name)
        answers(root / "answers", requests, line_bytes, order)
        size = (root / "answers").stat().st_size
        for number in range(options.rounds):
            copies.append(copied(root / "answers", root / "copy"))
            place = root / str(number)
            place.mkdir()
            rounds.append(
                asyncio.run(ours(place, root / "answers", requests, workers, options.workers))
            )
            shutil.rmtree(place)
    copy_seconds, our_seconds = _median(copies, "whole"), _median(rounds, "whole")
    return Row(
        line_bytes=line_bytes,
        order=order,
        lines=requests,
        megabytes=size / MEGABYTE,
        copy_mb_per_second=size / MEGABYTE / copy_seconds,
        our_mb_per_second=size / MEGABYTE / our_seconds,
        ratio=copy_seconds / our_seconds,
        collect_seconds=_median(rounds, "join"),
        deliver_seconds=_median(rounds, "deliver"),
        copy_cpu_seconds=_median(copies, "cpu"),
        our_cpu_seconds=_median(rounds, "cpu"),
        loop_lag_ms=1000 * max(one["lag"] for one in rounds),
        worker_peak_mb=max(map(_peak, _children(os.getpid())), default=0) / MEGABYTE,
    )


def show(rows: Sequence[Row]) -> None:
    """Print a table."""
    print(
        "line B   order      lines      MB  cp MB/s  our MB/s  ratio  collect s  deliver s"
        "  cp CPU s  our CPU s  lag ms  worker MB"
    )
    for row in rows:
        print(
            f"{row.line_bytes:6}   {row.order:9} {row.lines:8} {row.megabytes:7.0f} "
            f"{row.copy_mb_per_second:8.0f} {row.our_mb_per_second:9.0f} {row.ratio:6.2f} "
            f"{row.collect_seconds:10.2f} {row.deliver_seconds:10.2f} {row.copy_cpu_seconds:9.2f} "
            f"{row.our_cpu_seconds:10.2f} {row.loop_lag_ms:7.1f} {row.worker_peak_mb:10.0f}"
        )


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--lines", type=int, nargs="+", default=[250, 2000, 50_000])
    parser.add_argument("--order", nargs="+", default=list(FLOORS), choices=list(FLOORS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dir", default=None, help="where to work; a real disk, not a tmpfs")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    options = parser.parse_args()
    workers = Workers(
        options.workers, preload=("orchestrator.spool.work", "orchestrator.spool.outbox")
    )
    warm = [workers.submit(time.sleep, 0.2) for _ in range(2 * options.workers)]
    for one in warm:
        one.result()
    rows = []
    for line_bytes in options.lines:
        for order in options.order:
            rows.append(measure(options, line_bytes, order, workers))
            show(rows[-1:])
    workers.shutdown()
    print()
    show(rows)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    return int(any(row.ratio < FLOORS[row.order] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
