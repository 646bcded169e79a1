"""A service and a daemon as a user starts them, in a folder of their own, and sets of requests."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import end, start
from orchestrator.status.client import Client, Unreachable

KEY = "benchmark"
MODEL = "gemini-2.5-flash"
START_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.05

PLAN = """\
pending_seconds = 0.0
running_seconds = 0.0
file_bytes_max = 2147483648
[quotas]
tier = 3
active_jobs = 5000
storage_bytes = 1000000000000
[quotas.enqueued_tokens]
"{model}" = 1000000000000
"""
NEVER = PLAN.replace("running_seconds = 0.0", "running_seconds = 1e6")  # does a job end

CONFIG = """\
[service]
state_dir = {state}
socket = {socket}
log_format = "json"
log_level = "warning"
min_free_bytes = 0
[gemini]
base_url = "{url}"
[limits]
inline_max_bytes = 100
max_requests_per_batch = {requests_per_batch}
max_active_jobs = {active_jobs}
requests_per_minute = 1000000
storage_max_bytes = 1000000000000
[limits.enqueued_tokens]
"{model}" = 1000000000000
[intake]
settle_seconds = 0.0
[polling]
interval_min_seconds = {interval}
interval_max_seconds = {interval_max}
[profiles.default]
model = "{model}"
{more}
"""


@contextmanager
def emulated(folder: Path, plan: str = PLAN) -> Iterator[tuple[str, int]]:
    """Start the emulator; give its address and process id."""
    (folder / "plan.toml").write_text(plan.format(model=MODEL))
    log = folder / "emulator.log"
    arguments = ["-m", "orchestrator", "emulator", "--port", "0", "--quiet", "--no-report"]
    arguments += ["--plan", str(folder / "plan.toml"), "--state-dir", str(folder / "service")]
    service = start(arguments, log)
    try:
        yield _wait(service, log, lambda: _address(log)), service.pid
    finally:
        end(service)


def _address(log: Path) -> str | None:
    found = re.search(r"http://[0-9.:]+", log.read_text())
    return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon at work."""

    pid: int
    state: Path
    client: Client
    log: Path

    def drop(self, path: Path, name: str) -> None:
        """Move a finished file into the inbox, so that it is taken as it is."""
        path.rename(self.state / "inbox" / name)

    def summary(self, name: str, seconds_max: float) -> dict[str, object]:
        """Wait for a set's summary."""
        path = self.state / "outbox" / name / "summary.json"
        until = time.monotonic() + seconds_max
        while not path.exists():
            if time.monotonic() > until:
                raise TimeoutError(f"{path} did not come; see {self.log}")
            time.sleep(LOOK_SECONDS)
        summary: dict[str, object] = json.loads(path.read_bytes())
        return summary


@contextmanager
def daemon(  # noqa: PLR0913 - one argument for each setting that a benchmark chooses
    folder: Path, url: str, *, requests_per_batch: int = 100_000, interval: float = 0.5,
    interval_max: float = 0.5, active_jobs: int = 5000, more: str = "",
) -> Iterator[Running]:  # fmt: skip
    """Start the daemon and wait until it answers."""
    state, socket = folder / "state", Path(f"/tmp/bench-{os.getpid()}.sock")  # short for a socket
    config, log = folder / "config.toml", folder / "daemon.log"
    config.write_text(
        CONFIG.format(
            state=json.dumps(str(state)),
            socket=json.dumps(str(socket)),
            url=url,
            model=MODEL,
            requests_per_batch=requests_per_batch,
            interval=interval,
            interval_max=interval_max,
            active_jobs=active_jobs,
            more=more,
        )
    )
    arguments = ["-m", "orchestrator", "run", "--config", str(config)]
    process = start(arguments, log, {"GEMINI_API_KEY": KEY})
    client = Client(socket)

    def answers() -> object:
        try:
            return client.status()
        except Unreachable:
            return None

    try:
        _wait(process, log, answers)
        yield Running(process.pid, state, client, log)
    finally:
        end(process)
        socket.unlink(missing_ok=True)


def _wait(process: "subprocess.Popen[bytes]", log: Path, ready):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    until = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"ended at once: {log.read_text()[-2000:]}")
        if found := ready():
            return found
        time.sleep(LOOK_SECONDS)
    raise TimeoutError(f"did not start: {log.read_text()[-2000:]}")


def write_requests(path: Path, count: int, line_bytes: int = 250, seed: str = "") -> int:
    """Write a set of requests; returns how many bytes."""
    frame = (
        '{"key":"request-%09d","request":{"contents":[{"role":"user","parts":[{"text":"%s"}]}]}}\n'
    )
    text = (f"{seed}label the tone of this review, please: " * (line_bytes // 30 + 1))[
        : max(line_bytes - len(frame) - 5, 10)
    ]
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, count, 10_000):
            numbers = range(begin, min(begin + 10_000, count))
            file.write("".join([frame % (number, text) for number in numbers]))
    return path.stat().st_size
