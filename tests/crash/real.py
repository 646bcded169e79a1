"""A small world of real processes: the emulator, the daemon under strace, an inbox, a judge.

The daemon runs as a user runs it, with short windows. A life ends when everything that was
dropped is in the outbox (it is then asked to stop), when a fault ends it, or when its time is up.
Judged are the provider's books and the folders, never the daemon's own word.
"""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.settings import EmulatorSettings
from tests.acceptance.places import Places
from tests.crash.starting import Start, Started, spawn
from tests.crash.syscalls import Injection, traced
from tests.judging.books import read_books
from tests.judging.drops import Drop
from tests.judging.results import finished, torn, wrong_results

KEY = "canary-key-4Xq9vT7w"  # looked for in everything that a world leaves behind
LIFE_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05

DROPS = (
    Drop("inline", 3),
    Drop("files", 12, options={"max_requests_per_batch": 4}),
    Drop("vectors", 3, kind="embed"),
)

CONFIG = """
[service]
state_dir = {state}
socket = {socket}
min_free_bytes = 0
[gemini]
base_url = "http://127.0.0.1:{port}"
[limits]
inline_max_bytes = 1200
requests_per_minute = 60000
[intake]
settle_seconds = 0
workers = 1
[submission]
create_timeout_seconds = 5
late_create_seconds = 0.5
list_lag_seconds = 0.5
[polling]
interval_min_seconds = 0.2
interval_max_seconds = 0.5
[retry]
backoff_min_seconds = 0.1
backoff_max_seconds = 0.5
[retention]
work_days = 0
"""


class RealEmulator:
    """The emulator as a process of its own; it outlives every life of the daemon."""

    def __init__(self, folder: Path, *options: str, start: Start = spawn) -> None:
        self.folder = folder
        said = folder.with_suffix(".said")
        folder.parent.mkdir(parents=True, exist_ok=True)
        where = ("--host", "127.0.0.1", "--port", "0", "--state-dir", str(folder))
        arguments = ("emulator", *where, "--speed", "40", "--json", "--quiet", *options)
        self._process = start(arguments, dict(os.environ), said)
        wait_until(lambda: b"\n" in said.read_bytes(), seconds=20, what="the emulator to listen")
        self.port = int(json.loads(said.read_text().split("\n")[0])["base_url"].rpartition(":")[2])

    def misbehave(self, **fault: object) -> None:
        """Script a fault from now on."""
        self._admin(json.dumps([fault]).encode())

    def has_fired(self) -> bool:
        """Tell whether any scripted fault has struck."""
        return any(entry["fired"] for entry in self._admin()["faults"])

    def _admin(self, body: bytes | None = None) -> Any:
        door = f"http://127.0.0.1:{self.port}/__emulator__/faults"
        with urllib.request.urlopen(door, data=body, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """Stop it; its books stay."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(20)

    def books(self) -> Emulator:
        """Open the books of the stopped emulator."""
        settings = EmulatorSettings()
        return Emulator(settings, clock=lambda: datetime.now(UTC), state_dir=self.folder)


class Life:
    """One run of the daemon and what it left: its exit code, its log, its system calls."""

    def __init__(self, code: int, log: str, calls: Path | None) -> None:
        self.code = code
        self.log = log
        self.calls = calls


class RealWorld(Places):
    """A state directory, an emulator, and as many lives of the daemon as it takes."""

    def __init__(
        self,
        root: Path,
        drops: Sequence[Drop] = DROPS,
        *,
        state: Path | None = None,
        start: Start = spawn,
    ) -> None:
        self.root = root
        self.start = start
        self.state = state or root / "state"
        self.drops = drops
        self.lives = 0
        self.preload: dict[str, str] = {}  # into the daemon, by its environment
        self.emulator = RealEmulator(root / "emulator", start=start)
        self.config = root / "config.toml"
        self.inbox.mkdir(parents=True)
        for drop in drops:
            drop.put(self.inbox)
        self.config.write_text(
            CONFIG.format(
                state=json.dumps(str(self.state)),
                socket=json.dumps(str(root / "socket")),
                port=self.emulator.port,
            )
        )

    @property
    def is_done(self) -> bool:
        """Whether everything that was dropped is finished for a reader."""
        return len(finished(self.outbox)) == len(self.drops)

    def live(
        self, *injections: Injection, trace: bool = False, seconds: float = LIFE_SECONDS_MAX
    ) -> Life:
        """Run the daemon once, until all is delivered, until it dies, or for so long."""
        self.lives += 1
        calls = self.root / f"calls-{self.lives}" if trace or injections else None
        if calls is None:
            output = self.root / f"log-{self.lives}"
            process = self.start(self.command(), self.environment, output)
        else:
            process = self.launch(*traced(calls, *injections))
        self._follow(process, seconds)
        return Life(process.returncode, self.log, calls)

    def launch(self, *prefix: str, config: Path | None = None) -> "subprocess.Popen[bytes]":
        """Start the daemon and leave it running; its log is `log`."""
        output = self.root / f"log-{self.lives}"
        return spawn(self.command(config), self.environment, output, prefix=prefix)

    def command(self, config: Path | None = None) -> Sequence[str]:
        """Say how the daemon is started."""
        return ("run", "--config", str(config or self.config))

    @property
    def log(self) -> str:
        """What the latest life said."""
        return (self.root / f"log-{self.lives}").read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        """What the daemon is started with."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "GEMINI_API_KEY": KEY, "PYTHONDONTWRITEBYTECODE": "1", **self.preload}

    def _follow(self, process: Started, seconds: float) -> None:
        ends = time.monotonic() + seconds
        asked = False
        while process.poll() is None:
            if not asked and (self.is_done or time.monotonic() > ends):
                asked = True
                ends = time.monotonic() + 20
                _end(process, signal.SIGTERM)
            elif asked and time.monotonic() > ends:
                _end(process, signal.SIGKILL)
            time.sleep(POLL_SECONDS)
        _end(process, signal.SIGKILL)  # workers whose parent was killed

    def recover(self, lives: int = 4) -> list[str]:
        """Start it again as a service manager would, then judge."""
        last = Life(0, "", None)
        for _ in range(lives):
            if self.is_done:
                break
            last = self.live()
        if not self.is_done:
            tail = " | ".join(last.log.splitlines()[-3:])
            return [f"does not recover: exit {last.code}: {tail}"]
        return self.judge()

    def judge(self) -> list[str]:
        """Say what is wrong with the world as it stands."""
        self.emulator.stop()
        emulator = self.emulator.books()
        try:
            findings = list(read_books(emulator).findings)
        finally:
            emulator.close()
        findings += wrong_results(self.outbox, self.drops)
        return findings + self.leftovers() + self.leaks()

    def visible(self) -> list[str]:
        """Say what a reader could see at this instant and should not."""
        return torn(self.outbox)

    def leftovers(self) -> list[str]:
        """Name what should be gone once all is delivered."""
        left = [path for path in self.inbox.rglob("*") if not path.name.startswith(".orch")]
        left += [path for path in self.outbox.rglob("*") if path.name.endswith((".tmp", ".new"))]
        left += [path for path in self.outbox.iterdir() if path.name.startswith(".")]
        return [f"left behind: {path.relative_to(self.state)}" for path in left if path.is_file()]

    def leaks(self) -> list[str]:
        """Name every file that the key got into."""
        trees = {self.root, self.state}
        places = [path for tree in trees for path in tree.rglob("*") if path.is_file()]
        outside = [path for path in places if not path.is_relative_to(self.emulator.folder)]
        canary = KEY.encode()
        return [
            f"the key is in {path}"
            for path in outside
            if not path.name.startswith("calls-") and canary in path.read_bytes()
        ]


@contextmanager
def real_world(
    root: Path,
    drops: Sequence[Drop] = DROPS,
    *,
    state: Path | None = None,
    start: Start = spawn,
) -> Iterator[RealWorld]:
    """Make a world and stop whatever is left of it; its state may lie on a disk of its own."""
    world = RealWorld(root, drops, state=state, start=start)
    try:
        yield world
    finally:
        world.emulator.stop()


def free_port() -> int:
    """Find a port that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def wait_until(true, *, seconds: float, what: str) -> None:
    """Wait for another process, bounded."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(POLL_SECONDS)


def _end(process: Started, number: signal.Signals) -> None:
    """Signal the daemon, its workers and its tracer: the session that was started for them."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
