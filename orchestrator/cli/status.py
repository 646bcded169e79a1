"""`orchestrator status`: what the daemon is doing, once or live."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from orchestrator.cli import screen, tables
from orchestrator.cli.connection import asking, client, complete_set
from orchestrator.cli.failure import OK
from orchestrator.cli.options import config_option, examples, json_option
from orchestrator.cli.sheet import Sheet
from orchestrator.status.client import Client, NotAllowed, Unreachable

FINISHED_SHOWN_MAX = 10
WATCH_SECONDS = 1.0
AGE = re.compile(r"\b\d+(?:s|m|h\d\dm|d\d\dh)\b")
AGES = frozenset(
    {
        *("uptime_seconds", "event_loop_lag_seconds", "oldest_job_age_seconds", "age_seconds"),
        *("estimated_end_at", "last_scan"),
    }
)
OPEN_DISPLAYS = frozenset({"reading", "queued", "running", "paused", "held", "cancelling"})


@click.command(
    short_help="Show the daemon, its sets, and what needs you.",
    epilog=examples(
        "orchestrator status",
        "orchestrator status prompts --watch",
        "orchestrator status --all --json | jq '.sets[] | {name, state, cost}'",
    ),
)
@click.argument("wanted", metavar="[SET]", required=False, shell_complete=complete_set)
@click.option("--watch", is_flag=True, help="Keep showing it, until Ctrl-C.")
@click.option(
    "--all", "everything", is_flag=True, help="Show all finished sets, not only the last."
)
@config_option()
@json_option()
def status(
    wanted: str | None, config: Path | None, *, watch: bool, everything: bool, as_json: bool
) -> int:
    """Show the daemon, its sets and what needs you; with SET that set and its batches.

    SET is a name (the newest set of that name), an id, or the beginning of an id as in the column
    ID. OLDEST is the age of the oldest job against the 24 hours that the service aims at; jobs
    expire after 48 hours and are then sent again. TOKENS and COST are what was used and spent so
    far; ~ marks what is expected.
    """
    daemon = client(config)
    with asking():
        if watch:
            return _watch(daemon, wanted, everything=everything, as_json=as_json)
        report = _report(daemon, wanted, everything=everything)
    _print(report, as_json=as_json)
    return OK


def _report(daemon: Client, wanted: str | None, *, everything: bool) -> dict[str, Any]:
    """Ask for all that is shown, as the wire says it."""
    if wanted is not None:
        found = daemon.find(wanted)
        return {"set": found, "batches": list(daemon.batches(found["id"]))}
    return {"status": daemon.status(), "sets": list(_sets(daemon, everything=everything))}


def _sets(daemon: Client, *, everything: bool) -> Iterator[Any]:
    finished = 0
    for view in daemon.sets():
        if view["display"] not in OPEN_DISPLAYS:
            finished += 1
            if not everything and finished > FINISHED_SHOWN_MAX:
                continue
        yield view


def _print(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        screen.say_json(report)
    elif screen.is_terminal():
        sheet = Sheet(screen.console())
        sheet.console.print(drawn(report, _now(), sheet))
    else:
        for line in lines(report, _now()):
            screen.say(line)


def lines(report: dict[str, Any], now: datetime) -> list[str]:
    """Write a report for anything but a terminal."""
    if "away" in report:
        return [_away(report)]
    if "set" in report:
        facts = _facts(report, now)
        rows = [tables.batch_row(view) for view in report["batches"]]
        return [*facts, "", *screen.aligned(tables.BATCH_COLUMNS, rows)] if rows else facts
    rows = tables.set_rows(report["sets"], now)
    found = screen.aligned(tables.SET_COLUMNS, rows) if rows else ["no sets yet"]
    return [*_above(report, now), "", *found]


def _facts(report: dict[str, Any], now: datetime) -> list[str]:
    return [f"{name + ':':<12} {value}" for name, value in tables.set_facts(report["set"], now)]


def _above(report: dict[str, Any], now: datetime) -> list[str]:
    """Return the lines above the table."""
    status = report["status"]
    said = [*tables.headlines(status), *tables.incidents(status, now)]
    return [*said, *tables.reasons(report["sets"])]


def _away(report: dict[str, Any]) -> str:
    return f"! {report['away']}; waiting for it"


def drawn(report: dict[str, Any], now: datetime, sheet: Sheet) -> Any:
    """Draw a report for a terminal."""
    if "away" in report:
        return sheet.lines([_away(report)])
    if "set" in report:
        return sheet.batches(_facts(report, now), report["batches"])
    return sheet.sets(_above(report, now), report["sets"], now)


def _looks(daemon: Client, wanted: str | None, *, everything: bool) -> Iterator[dict[str, Any]]:
    """Look again and again; a daemon that goes away meanwhile is waited for, as at an upgrade."""
    yield _report(daemon, wanted, everything=everything)
    while True:
        time.sleep(WATCH_SECONDS)
        try:
            report = _report(daemon, wanted, everything=everything)
        except NotAllowed:
            raise
        except Unreachable as error:
            report = {"away": str(error)}
        yield report


def _watch(daemon: Client, wanted: str | None, *, everything: bool, as_json: bool) -> int:
    looks = _looks(daemon, wanted, everything=everything)
    if as_json or not screen.is_terminal():
        return watch_lines(looks, as_json=as_json)
    from rich.live import Live

    with Live(console=screen.console(), auto_refresh=False) as live:
        for report in looks:
            sheet = Sheet(live.console, live.console.height)
            live.update(drawn(report, _now(), sheet), refresh=True)
    return OK


def watch_lines(looks: Iterator[dict[str, Any]], *, as_json: bool) -> int:
    """Print whenever something changed: the lines that did, or all of it as one JSON value.

    That time has passed is no change.
    """
    import json

    before: set[str] = set()
    for report in looks:
        if as_json:
            now = {json.dumps(_timeless(report)): json.dumps(report, ensure_ascii=False)}
        else:
            now = {_without_ages(line): line for line in lines(report, _now()) if line}
        for key, line in now.items():
            if key not in before:
                screen.say(line)
        screen.flush()
        before = {*now}
    return OK


def _without_ages(line: str) -> str:
    return " ".join(AGE.sub("", line).split())


def _timeless(value: Any) -> Any:
    match value:
        case dict():
            return {name: _timeless(each) for name, each in value.items() if name not in AGES}
        case list():
            return [_timeless(each) for each in value]
        case _:
            return value


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - only for "in 2h" on the screen
