"""One daemon as a process, an emulator beside it, and a user at the folders and the socket.

The key comes as a credential file, as under systemd, and the log is at its most talkative. When a
house is left, everything that it leaves behind is searched for the key and for upload URLs.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.status.client import Answered, Unreachable
from tests.acceptance.layers import merged
from tests.acceptance.leaks import leaks
from tests.acceptance.places import Places
from tests.acceptance.provider import Door, NearEmulator
from tests.acceptance.sessions import end_all, signal_all
from tests.crash.real import CONFIG, KEY, RealEmulator
from tests.crash.starting import PYTHON
from tests.judging.drops import MODEL, Drop
from tests.judging.results import finished, wrong_results
from tests.waiting import until

T = TypeVar("T")
PATIENCE_SECONDS = 40.0
DEFAULTS = f'[profiles.default]\nmodel = "{MODEL}"\n'
SHOWN = ("/v1/status", "/v1/sets", "/healthz", "/openapi.json")
CREDENTIAL = "gemini_api_key"


@dataclass(frozen=True)
class Rejected:
    """What a user finds in rejected/NAME/: the reason, the flaws, the folder."""

    folder: Path
    reason: str
    flaws: list[dict[str, Any]]


class House(Places, Door):
    """A state directory, the emulator, and the daemon that is started and stopped by the test."""

    def __init__(
        self,
        root: Path,
        *,
        faults: tuple[dict[str, Any], ...] = (),
        config: str = DEFAULTS,
        emulator: tuple[str, ...] = (),
    ) -> None:
        self.root = root
        self.state = root / "state"
        for folder in (self.inbox, self.outbox, self.state / "rejected"):
            folder.mkdir(parents=True)
        where = root / "emulator"
        self.emulator = RealEmulator(where, *emulator) if emulator else NearEmulator(where)
        self.process: subprocess.Popen[bytes] | None = None
        self.seen = b""  # what /proc and the socket showed
        self.environment: dict[str, str] = {}
        self.credentials = root / "credentials"
        self.credentials.mkdir(mode=0o700)
        self.set_key(KEY)
        self.configure(config)
        self.behave(*faults)

    # ---- the daemon ---------------------------------------------------------------------------

    def configure(self, more: str, *, port: int | None = None) -> None:
        """Write the settings; `more` may change a key of a section that is there already."""
        text = CONFIG.format(
            state=json.dumps(str(self.state)),
            socket=json.dumps(str(self.root / "socket")),
            port=port or self.emulator.port,
        )
        self.config = self.root / "config.toml"
        self.config.write_text(merged(text, 'log_level = "debug"', more))

    def set_key(self, key: str) -> None:
        """Put the key where systemd would."""
        file = self.credentials / CREDENTIAL
        file.unlink(missing_ok=True)
        file.write_text(f"{key}\n")
        file.chmod(0o400)

    @property
    def command(self) -> list[str]:
        """How the daemon is started."""
        return [*PYTHON, "run", "--config", str(self.config)]

    @property
    def environ(self) -> dict[str, str]:
        """What the daemon is started with: no key."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        given = {"CREDENTIALS_DIRECTORY": str(self.credentials), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **given, **self.environment}

    def start(self, *prefix: str, **options: Any) -> "subprocess.Popen[bytes]":
        """Start the daemon and wait until it answers."""
        self.launch(*prefix, **options)
        until(self._answers, what="the daemon to answer", seconds=PATIENCE_SECONDS)
        self.look()
        assert self.process is not None
        return self.process

    def launch(self, *prefix: str, **options: Any) -> None:
        """Start the daemon, and do not wait for it."""
        with (self.root / "log").open("ab") as sink:
            self.process = subprocess.Popen(
                [*prefix, *self.command],
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=self.environ,
                start_new_session=True,
                **options,
            )

    def start_and_end(self, seconds: float = 60) -> tuple[int, str]:
        """Start a daemon that is to end by itself: its exit code, and its last words."""
        ended = subprocess.run(
            self.command,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        return ended.returncode, ended.stderr

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon; returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.look()
            signal_all(self.process.pid, number)  # as from a terminal: a tracer passes none on
        code = self.process.wait(20)
        end_all(self.process.pid)
        return code

    def kill(self) -> None:
        """End the daemon and its workers as an unplugged machine would."""
        assert self.process is not None
        end_all(self.process.pid)
        self.process.wait(20)

    def look(self) -> None:
        """Keep what anybody on the machine could see of the process now, and at its socket."""
        assert self.process is not None
        for name in ("cmdline", "environ"):
            try:
                self.seen += Path(f"/proc/{self.process.pid}/{name}").read_bytes()
            except OSError:
                continue
        for path in SHOWN:
            try:
                self.seen += json.dumps(self.client.get(path), ensure_ascii=False).encode()
            except (Unreachable, Answered):
                continue

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log[-3000:]
        try:
            return self.status()["service"]["state"] not in ("starting", "stopping")
        except Unreachable:
            return False

    # ---- the user -----------------------------------------------------------------------------

    def drop(self, name: str | bytes, data: bytes, options: str | None = None) -> Path:
        """Put a file into the inbox as the contract wants: written beside, then renamed in."""
        raw = os.fsencode(name)
        if options is not None:
            stem = raw.partition(b".jsonl")[0]
            self._put(stem + b".toml", options.encode())
        return self._put(raw, data)

    def _put(self, raw: bytes, data: bytes) -> Path:
        beside = self.state / f"beside-{time.monotonic_ns()}"
        beside.write_bytes(data)
        target = self.inbox / os.fsdecode(raw)
        beside.rename(target)
        return target

    def delivered(self, name: str, seconds: float = PATIENCE_SECONDS) -> list[dict[str, Any]]:
        """Wait until a set is finished; returns its results."""
        folder = self.outbox / name
        self.until((folder / "summary.json").exists, f"outbox/{name}", seconds)
        data = (folder / "results.jsonl").read_bytes()
        return [json.loads(line) for line in data.split(b"\n")[:-1]]

    def rejected(self, name: str, seconds: float = PATIENCE_SECONDS) -> Rejected:
        """Wait until a set is rejected; returns what its user finds."""
        folder = self.state / "rejected" / name
        self.until((folder / "summary.json").exists, f"rejected/{name}", seconds)
        summary = json.loads((folder / "summary.json").read_bytes())
        flaws = folder / "flaws.jsonl"
        told = flaws.read_bytes().splitlines() if flaws.exists() else []
        return Rejected(folder, summary["reason"], [json.loads(line) for line in told])

    def until(self, true: Callable[[], T], what: str, seconds: float = PATIENCE_SECONDS) -> T:
        """Wait for something, for as long as the daemon lives."""

        def look() -> T:
            found = true()
            if not found and self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the daemon ended before {what}: {self.log[-3000:]}")
            return found

        try:
            return until(look, what=what, seconds=seconds)
        except TimeoutError as error:
            raise AssertionError(f"{error}: {self.log[-3000:]}") from None

    # ---- what is to be seen -------------------------------------------------------------------

    @property
    def log(self) -> str:
        """Everything that the daemon said."""
        return (self.root / "log").read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == name]

    def status(self) -> Any:
        """Return the whole daemon at a glance."""
        return self.client.status()

    def set(self, name: str) -> Any:
        """Return the newest set of a name, as the socket shows it."""
        return self.client.find(name)

    def awaited(self, name: str, display: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until a set is shown as `display`."""

        def shown() -> Any:
            for one in self.client.sets(name=name):
                return one if one["display"] == display else None
            return None

        return self.until(shown, f"{name} to be {display}", seconds)

    # ---- leaving ------------------------------------------------------------------------------

    def leaks(self) -> list[str]:
        """Name every place that the key or an upload URL got into."""
        return leaks(self.root, self.seen, self.emulator.folder, self.credentials)

    def close(self) -> None:
        """Stop everything."""
        if self.process is not None:
            if self.process.poll() is None:
                self.stop()
            end_all(self.process.pid)
        self.emulator.stop()


@contextmanager
def house(root: Path, *, started: bool = True, **options: Any) -> Iterator[House]:
    """Make a house, start its daemon (or leave that to the test), and search it for secrets."""
    one = House(root, **options)
    try:
        if started:
            one.start()
        yield one
    finally:
        one.close()
    assert one.leaks() == []


def judge(one: House, *drops: Drop, **options: Any) -> list[str]:
    """Say what is wrong: with the results by their content, with the books by what was paid."""
    one.until(lambda: {drop.name for drop in drops} <= set(finished(one.outbox)), "the outbox", 60)
    findings = wrong_results(one.outbox, drops, **options)
    again = one.paid["executed_again"]
    return findings + ([f"{again} requests were paid twice"] if again else [])


def line(key: str, text: str = "hello") -> bytes:
    """Return one request in the service's own form."""
    request = {"contents": [{"parts": [{"text": text}]}]}
    return json.dumps({"key": key, "request": request}).encode() + b"\n"
