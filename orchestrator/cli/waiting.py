"""Following sets from the inbox to their results, over the status socket."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from orchestrator.cli import failure, screen, tables
from orchestrator.cli.connection import asking, client
from orchestrator.cli.dropping import Dropped
from orchestrator.cli.formats import count, span
from orchestrator.cli.sheet import Sheet
from orchestrator.service.printable import printable, shown_name
from orchestrator.status.client import Client, Unreachable

LOOK_SECONDS = 0.5
AWAY_SECONDS_MAX = 120.0  # a daemon that is being upgraded comes back
FINISHED = frozenset({"delivered", "rejected", "cancelled"})


class Places(Protocol):
    """Where what is finished lies."""

    @property
    def outbox(self) -> Path:
        """The folder of the results."""

    @property
    def rejected(self) -> Path:
        """The folder of what was refused."""


class Followed:
    """The sets that grow out of what we drop: those of its names that were not there before."""

    def __init__(
        self,
        daemon: Client,
        before: Mapping[str, str],
        check: Callable[[], object] = lambda: None,
    ) -> None:
        self._daemon = daemon
        self._before = before
        self._check = check

    @classmethod
    @contextmanager
    def starting(cls, config: Path | None) -> Iterator["Followed"]:
        """Begin before anything is dropped; without a daemon nothing is."""
        daemon = client(config)
        with asking():
            before = {view["id"]: view["name"] for view in daemon.sets()}
            try:
                yield cls(daemon, before)
            except KeyboardInterrupt:
                screen.hint("no longer waiting; the sets go on, see `orchestrator status`")
                raise

    def to_the_end(self, dropped: Sequence[Dropped], paths: Places, *, as_json: bool) -> int:
        """Wait until all are finished, showing how far they are; return the exit code."""
        names = [each.name for each in dropped]
        with display(as_json=as_json) as show:
            views = self.watch(names, show)
        if as_json:
            screen.say_json(list(views.values()))
        else:
            for view in views.values():
                screen.say(outcome(view, paths))
        return max(exit_code(view) for view in views.values())

    def watch(self, names: Sequence[str], show: "Display") -> dict[str, Any]:
        """Show the sets until all are finished, and return them; `check` is called all along."""
        ids: dict[str, str] = {}
        away_since: float | None = None
        while True:
            self._check()
            try:
                self._find(names, ids)
                views = {name: self._daemon.get(f"/v1/sets/{ids[name]}") for name in ids}
                away_since = None
            except Unreachable:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > AWAY_SECONDS_MAX:
                    raise
                time.sleep(LOOK_SECONDS)
                continue
            show(list(views.values()))
            if len(views) == len(names) and all(v["state"] in FINISHED for v in views.values()):
                return {name: views[name] for name in names}
            time.sleep(LOOK_SECONDS)

    def _find(self, names: Sequence[str], ids: dict[str, str]) -> None:
        for name in names:
            if name in ids:
                continue
            for view in self._daemon.sets(name=name):
                if view["id"] not in self._before:
                    ids[name] = view["id"]
                    break


class Display:
    """Shows views as they change; this one prints a line for each change."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def __call__(self, views: Sequence[Any]) -> None:
        """Show how far the sets are."""
        for view in views:
            if view["state"] == "rejected":  # the outcome says all of it
                continue
            settled = view["answered"] + view["failed"]
            line = f"{shown_name(view['name'])}: {view['display']}, "
            line += f"{count(settled)} of {count(view['requests'])} requests"
            if view["reason"]:
                told = f"{view['reason']}; {view['remedy']}" if view["remedy"] else view["reason"]
                line += f"; {printable(told)}"
            if self._said.get(view["id"]) != line:
                self._said[view["id"]] = line
                self._say(line)

    def _say(self, line: str) -> None:
        screen.say(line)
        screen.flush()


class _Silent(Display):
    def _say(self, line: str) -> None:
        pass


class _Bars(Display):
    """Draws the table of `status`, in place."""

    def __init__(self, live: Any) -> None:
        super().__init__()
        self._live = live

    def __call__(self, views: Sequence[Any]) -> None:
        """Draw the sets anew."""
        from rich.text import Text

        now = datetime.now(UTC)  # noqa: TID251 - only for "in 2h" on the screen
        sheet = Sheet(self._live.console, self._live.console.height)
        drawn = (
            sheet.sets(tables.reasons(views), views, now)
            if views
            else Text("dropped; the daemon takes a file once it has lain still for a moment …")
        )
        self._live.update(drawn, refresh=True)


@contextmanager
def display(*, as_json: bool) -> Iterator[Display]:
    """Choose how progress is shown: not at all, as lines, or as a live table."""
    if as_json:
        yield _Silent()
    elif not screen.is_terminal():
        yield Display()
    else:
        from rich.live import Live

        with Live(console=screen.console(), auto_refresh=False) as live:
            yield _Bars(live)


def outcome(view: Any, paths: Places) -> str:
    """Say how a set ended, and where to look."""
    name, folder = shown_name(view["name"]), view["outbox"] or view["name"]
    if view["state"] == "rejected":
        where = printable(str(paths.rejected / folder))
        return f"{name}: rejected: {printable(view['reason'] or '')}; see {where}"
    took = datetime.fromisoformat(view["finished_at"]) - datetime.fromisoformat(view["received_at"])
    said = f"{count(view['answered'])} answered, {count(view['failed'])} failed"
    if view["answered_from"]:
        said += f", the answers of {view['answered_from']}, not paid again"
    where = printable(str(paths.outbox / folder))
    return f"{name}: {view['state']} in {span(took.total_seconds())}: {said}; {where}"


def exit_code(view: Any) -> int:
    """Return 0 when every request was answered, 1 when some were not, 65 for a rejected set."""
    match view["state"]:
        case "rejected":
            return failure.DATA
        case "delivered" if view["failed"] == 0:
            return failure.OK
        case _:
            return failure.SOME_FAILED
