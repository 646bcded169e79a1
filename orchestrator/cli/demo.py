"""`orchestrator demo`: the whole path on real text, against the emulator, in under a minute."""

import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import failure, screen
from orchestrator.cli.formats import count, money, span
from orchestrator.cli.options import examples, json_option
from orchestrator.config.places import SOCKET_PATH_BYTES_MAX

if TYPE_CHECKING:
    from orchestrator.cli.children import Child
    from orchestrator.cli.dropping import Dropped

MARKER = ".orchestrator-demo"
START_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.1
SPEED = "4"
KEY = "any-key-will-do-for-the-emulator"
SHOWN_CHARACTERS_MAX = 300
RESULTS_SHOWN = 2
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@click.command(
    short_help="See it work in a minute: no key, no network, no cost.",
    epilog=examples("orchestrator demo", "orchestrator demo --dir /tmp/look"),
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    metavar="DIR",
    show_default=True,
    help="Where everything goes; a demo that lies there is replaced.",
)
@json_option()
def demo(folder: Path, *, as_json: bool) -> int:
    """Run the whole path on real text against the emulator, in under a minute.

    Builds two sets of requests from Python's own language reference, starts the emulator and
    the daemon as you would, drops the files, and shows the results and how to go on. Needs
    neither key nor network. Ctrl-C ends it at any time and leaves nothing running.
    """
    folder = folder.absolute()
    began = time.monotonic()
    try:
        with interruptible() as interrupted, ExitStack() as stack:
            _make(folder)
            stage = _Stage(folder, stack, interrupted, quiet=as_json)
            views = stage.play()
    except KeyboardInterrupt:
        screen.hint(f"\nstopped; nothing is left running. Clean up with: rm -r {_shown(folder)}")
        return failure.INTERRUPTED
    _tell(folder, views, time.monotonic() - began, as_json=as_json)
    from orchestrator.cli.waiting import exit_code

    return max(exit_code(view) for view in views)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Let SIGTERM end the demo as Ctrl-C does, and either be heard wherever it comes.

    What Python runs between two lines (a finaliser, a callback of an import) swallows an
    exception. So what is yielded raises it again, and is called wherever the demo waits.
    """
    heard: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    def interrupted() -> None:
        if heard:
            raise KeyboardInterrupt

    heeded = [each for each in _INTERRUPTS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heeded}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _make(folder: Path) -> None:
    """Make the folder anew; never touch one that is not a demo's."""
    try:
        if folder.exists() and any(folder.iterdir()):
            if not (folder / MARKER).exists():
                message = f"{folder}: is there and is no demo; name another folder with --dir"
                raise failure.Failure(message, failure.CANNOT_CREATE)
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).touch()
    except OSError as error:
        message = f"{folder}: cannot be made: {error.strerror}; name another folder with --dir"
        raise failure.Failure(message, failure.CANNOT_CREATE) from None


@dataclass(frozen=True, slots=True)
class _Stage:
    """The demo's folder, what runs in it, what raises when it shall end, and whom to tell."""

    folder: Path
    stack: ExitStack
    interrupted: Callable[[], None]
    quiet: bool

    def play(self) -> Sequence[Any]:
        """Do everything; return the sets as they ended."""
        from orchestrator.cli import demo_input

        asked = demo_input.write(self.folder / "questions.jsonl", demo_input.questions())
        embedded = demo_input.write(self.folder / "passages.jsonl", demo_input.passages())
        self._say(f"wrote {count(asked)} questions and {count(embedded)} passages to embed")
        emulator, url = self._start_emulator()
        self._say(f"emulator  runs on {url} (log: {_shown(emulator.log)})")
        daemon, inbox = self._start_daemon(url)
        self._say(f"daemon    watches {_shown(inbox)} (log: {_shown(daemon.log)})")
        return self._follow([emulator, daemon], inbox)

    def _start_emulator(self) -> tuple["Child", str]:
        from orchestrator.cli.children import child, clean_environment

        state = str(self.folder / "emulator")
        arguments = ["emulator", "--port", "0", "--state-dir", state, "--speed", SPEED]
        emulator = self.stack.enter_context(
            child("emulator", arguments, self.folder / "emulator.log", clean_environment())
        )
        found = self._wait(emulator, lambda: re.search(r"http://[0-9.:]+", emulator.output()))
        return emulator, found[0]

    def _start_daemon(self, url: str) -> tuple["Child", Path]:
        from orchestrator.cli import demo_input
        from orchestrator.cli.children import child, clean_environment
        from orchestrator.status.client import Client, Unreachable

        state, config = self.folder / "state", self.folder / "config.toml"
        socket = self._socket(state)
        config.write_text(demo_input.settings(state, socket, url), "utf-8")
        arguments = ["run", "--config", str(config)]
        environ = clean_environment(GEMINI_API_KEY=KEY)
        daemon = self.stack.enter_context(
            child("daemon", arguments, self.folder / "daemon.log", environ)
        )

        def answers() -> Any:
            try:
                return Client(socket).status()
            except Unreachable:
                return None

        self._wait(daemon, answers)
        return daemon, state / "inbox"

    def _socket(self, state: Path) -> Path:
        """Put the socket beside the rest, or into a short place if the path would be too long."""
        usual = state / "orchestrator.sock"
        if len(str(usual).encode()) <= SOCKET_PATH_BYTES_MAX:
            return usual
        short = tempfile.TemporaryDirectory(prefix="orchestrator-demo-")
        return Path(self.stack.enter_context(short)) / usual.name

    def _follow(self, children: Sequence["Child"], inbox: Path) -> Sequence[Any]:
        from orchestrator.cli.waiting import Followed, display
        from orchestrator.config.places import find_socket
        from orchestrator.status.client import Client

        daemon = Client(find_socket(self.folder / "config.toml", {}))

        def check() -> None:
            self.interrupted()
            for each in children:
                each.check()

        followed = Followed(daemon, {}, check)
        dropped = [
            self._drop("questions", inbox, ""),
            self._drop("passages", inbox, 'profile = "embeddings"\n'),
        ]
        self._say(f"dropped   {' and '.join(each.file.name for each in dropped)}\n")
        with display(as_json=self.quiet) as show:
            return list(followed.watch([each.name for each in dropped], show).values())

    def _drop(self, name: str, inbox: Path, options: str) -> "Dropped":
        from orchestrator.cli.dropping import drop

        with (self.folder / f"{name}.jsonl").open("rb") as source:
            return drop(source, inbox, name, ".jsonl", options, lambda _: None)

    def _wait(self, child: "Child", ready: Callable[[], Any]) -> Any:
        """Wait until `ready` returns something, as long as the process lives."""
        for _ in range(int(START_SECONDS_MAX / LOOK_SECONDS)):
            self.interrupted()
            child.check()
            if found := ready():
                return found
            time.sleep(LOOK_SECONDS)
        message = (
            f"the {child.name} did not start within {span(START_SECONDS_MAX)}; see {child.log}"
        )
        raise failure.Failure(message, failure.UNAVAILABLE)

    def _say(self, line: str) -> None:
        if not self.quiet:
            screen.say(line)
            screen.flush()


# ---- the end ------------------------------------------------------------------------------------


def _tell(folder: Path, views: Sequence[Any], seconds: float, *, as_json: bool) -> None:
    if as_json:
        screen.say_json({"dir": str(folder), "seconds": round(seconds, 1), "sets": views})
        return
    answered, failed = (sum(view[what] for view in views) for what in ("answered", "failed"))
    screen.say(f"\n{count(answered)} answered, {count(failed)} failed, in {span(seconds)}.")
    for view in views:
        _show_results(folder, view)
    for line in how_to_go_on(folder, views):
        screen.say(line)


def _show_results(folder: Path, view: Any) -> None:
    file = folder / "state" / "outbox" / view["name"] / "results.jsonl"
    screen.say(f"\n{_shown(file)}")
    if not file.exists():
        return
    with file.open(encoding="utf-8") as lines:
        for line, _ in zip(lines, range(RESULTS_SHOWN), strict=False):
            text = line.rstrip("\n")
            cut = len(text) > SHOWN_CHARACTERS_MAX
            screen.say(f"  {text[:SHOWN_CHARACTERS_MAX]}{' …' if cut else ''}")


def how_to_go_on(folder: Path, views: Sequence[Any]) -> list[str]:
    """Return the three lines that do the same with the real service, and how to clean up."""
    from orchestrator.cli.demo_input import MODEL

    us = "orchestrator" if shutil.which("orchestrator") else f"{sys.executable} -m orchestrator"
    cost = next((view["cost"] for view in views if view["name"] == "questions"), None)
    price = f"   # would cost about {money(cost)}" if cost else ""
    return [
        "",
        "The same with the real service:",
        "  export GEMINI_API_KEY=…   # from https://aistudio.google.com/apikey, with billing",
        f"  ORCHESTRATOR_PROFILES__DEFAULT__MODEL={MODEL} {us} run   # stays; then elsewhere:",
        f"  {us} submit {_shown(folder)}/questions.jsonl --wait{price}",
        "",
        f"Nothing is left running. Clean up with: rm -r {_shown(folder)}",
    ]


def _shown(path: Path) -> str:
    """Write a path as short as the user would."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
