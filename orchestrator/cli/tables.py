"""What `status` shows, as rows of words; how they are drawn is decided elsewhere.

The daemon may be older than the command, as between the two steps of an upgrade: what the first
version of the wire did not have is asked for with `get`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from orchestrator.cli.cells import cut, width
from orchestrator.cli.formats import (
    DASH,
    bar,
    count,
    money,
    percent,
    short,
    size,
    span,
    standing,
    until,
)
from orchestrator.service.printable import printable, shown_name

View: TypeAlias = Mapping[str, Any]
TARGET = "24h"  # what the service aims at for a batch
BATCH_STATES = ("planned", "uploaded", "submitting", "submitted", "ended", "collected", "lapsed")
SET_COLUMNS = (
    *("ID", "SET", "STATE", "DONE", "", "REQUESTS", "FAILED"),
    *("BATCHES", "OLDEST", "TOKENS", "COST", "END"),
)
# What goes first where the terminal is too narrow; the nameless one is the bar, which repeats DONE.
SET_COLUMNS_OPTIONAL = ("BATCHES", "TOKENS", "REQUESTS", "OLDEST", "", "COST", "END", "FAILED")
NAME_CELLS_MAX = 40
ARROW = " → "
STATE_COLUMN = SET_COLUMNS.index("STATE")
ID_SHOWN_MIN = 4
INCIDENTS_SHOWN_MAX = 3
INCIDENTS_SHOWN_FOR = timedelta(days=7)
IN_DOUBT = frozenset({"in_doubt", "fenced", "held"})
BATCH_COLUMNS = ("NO", "GEN", "STATE", "REQUESTS", "SIZE", "AGE", "JOB", "NOTE")


def set_rows(
    views: Sequence[View], now: datetime, name_cells: int = NAME_CELLS_MAX
) -> list[tuple[str, ...]]:
    """Return sets as cells of `SET_COLUMNS`.

    Ids are cut where they still differ, names to so many cells: one long name would take all
    other columns away from all other sets.
    """
    shown = short_ids([view["id"] for view in views])
    return [
        _set_row(view, id_, _named(view, name_cells), now)
        for view, id_ in zip(views, shown, strict=True)
    ]


def short_ids(ids: Sequence[str]) -> list[str]:
    """Return the beginnings of ids, as long as it takes to tell each from the others."""
    longest = max((len(each) for each in ids), default=0)
    for length in range(ID_SHOWN_MIN, longest):
        cut = [each[:length] for each in ids]
        if len({*cut}) == len({*ids}):
            return cut
    return list(ids)


def _set_row(view: View, id_: str, name: str, now: datetime) -> tuple[str, ...]:
    settled = view["answered"] + view["failed"]
    refused = view["state"] == "rejected"
    return (
        id_,
        name,
        view["display"],
        DASH if refused else percent(settled, view["requests"]),
        DASH if refused else bar(settled, view["requests"]),
        f"{count(settled)}/{count(view['requests'])}",
        count(view["failed"]) if view["failed"] else DASH,
        batch_counts(view["batches"]),
        f"{span(view['oldest_job_age_seconds'])}/{TARGET}"
        if view["oldest_job_age_seconds"] is not None
        else DASH,
        tokens(view),
        cost(view),
        until(view["estimated_end_at"], now) if view["finished_at"] is None else DASH,
    )


def batch_row(view: View) -> tuple[str, ...]:
    """Return one batch as cells of `BATCH_COLUMNS`."""
    return (
        str(view["serial"]),
        str(view["generation"]),
        f"{view['state']} ({view['doubt']})" if view["doubt"] else view["state"],
        count(view["requests"]),
        size(view["bytes"]),
        span(view["age_seconds"]),
        shown_name(view["job"] or DASH),
        printable(note(view)),
    )


def note(view: View) -> str:
    """Say what is worth saying about a batch; of one in doubt, by what it is known and ordered."""
    if view["doubt"] in IN_DOUBT:
        return str(view["token"])
    if view["error"]:
        return f"{view['outcome']}: {view['error']['message']}"
    if view["detail"]:
        return str(view["detail"])
    return str(view["outcome"] or view["job_state"] or "")


def batch_counts(batches: View) -> str:
    """Write the batches of a set by state, leaving out states without any."""
    parts = [f"{batches[state]} {state}" for state in BATCH_STATES if batches[state]]
    return ", ".join(parts) or DASH


def _named(view: View, cells: int) -> str:
    """Write a set's name, and the folder of its results where another set has that of its name."""
    name, folder = printable(view["name"]), printable(view["outbox"] or view["name"])
    if folder == name:
        return cut(name, cells)
    half = (cells - len(ARROW)) // 2
    shown = cut(name, max(half, cells - len(ARROW) - width(folder)))
    return f"{shown}{ARROW}{cut(folder, cells - len(ARROW) - width(shown))}"


def tokens(view: View) -> str:
    """Write the tokens that a set used so far; before the first, about how many it will send."""
    used = view["usage"]
    whole: int = sum(used.values()) - used["cached_tokens"]  # cached ones are prompt tokens too
    if whole or view["finished_at"] is not None:
        return short(whole) if whole else DASH
    return f"~{short(view['tokens'])}" if view["tokens"] else DASH


def cost(view: View) -> str:
    """Write what a set cost so far, and about what it will have cost, prompts and answers."""
    if view["cost"] is None:
        return DASH
    if view["finished_at"] is None and view["cost_estimate"] is not None:
        return f"{money(view['cost'])} of ~{money(view['cost_estimate'])}"
    return money(view["cost"])


def headlines(status: View) -> list[str]:
    """Return the lines above the table: the daemon, and everything that is wrong."""
    service, totals = status["service"], status["totals"]
    since = f"{standing(service['state'], service['uptime_seconds'])} (pid {service['pid']})"
    today = f"{count(totals['open'])} requests open, spent today {_spent(totals)}"
    lines = [f"orchestrator {service['version']} {since}, {today}"]
    lines += [_wrong(each["message"], each["remedy"]) for each in status["conditions"]]
    lines += [
        _wrong(f"{project['name']} blocked: {project['reason']}", project["remedy"] or "")
        for project in status["projects"]
        if project["blocked"]
    ]
    lines += [
        f"{project['name']} waits: {project['waits_for']}"
        for project in status["projects"]
        if project.get("waits_for")
    ]
    lines += [
        f"reading {shown_name(drop['name'])}: {percent(drop['bytes_done'], drop['bytes_total'])}"
        f" of {size(drop['bytes_total'])}"
        for drop in status["reading"]
    ]
    return lines


def incidents(status: View, now: datetime) -> list[str]:
    """Return what may have cost money of late, a line each, and how much more there was."""
    newest = [
        (ago, each)
        for each in status.get("incidents", ())
        if (ago := now - datetime.fromisoformat(each["at"])) < INCIDENTS_SHOWN_FOR
    ][:INCIDENTS_SHOWN_MAX]
    lines = [printable(f"incident {_ago(ago)}: {_incident(each)}") for ago, each in newest]
    more = status["totals"]["incidents"] - len(newest)
    if newest and more:
        lines.append(f"{count(more)} more before; --json has the newest")
    return lines


def _incident(view: View) -> str:
    about = f", about {money(view['cost'])}" if Decimal(view["cost"]) else ""
    concerns = f" ({count(view['requests'])} requests{about})" if view["requests"] else ""
    return f"{view['kind']}: {view['detail']}{concerns}"


def _ago(passed: timedelta) -> str:
    return f"{span(max(0.0, passed.total_seconds()))} ago"


def _spent(totals: View) -> str:
    """Write what was spent today, and whose tokens are not in it because nobody knows a price."""
    if totals["spent_today"] is None:
        return "unknown: no price is set"
    spent, unpriced = money(totals["spent_today"]), totals.get("unpriced")
    return f"{spent} without {', '.join(unpriced)}: no price is set" if unpriced else spent


def reasons(views: Sequence[View]) -> list[str]:
    """Return a line for every set that waits for the operator."""
    return [
        _wrong(f"{_short(view['name'])} {view['display']}: {view['reason']}", view["remedy"])
        for view in views
        if view["reason"] and view["display"] in {"held", "rejected"}
    ]


def _short(name: str) -> str:
    return cut(printable(name), NAME_CELLS_MAX)


def set_facts(view: View, now: datetime) -> list[tuple[str, str]]:
    """Return one set as names and values, for a page of its own."""
    whose = [
        ("set", f"{shown_name(view['name'])} ({view['id']})"),
        ("state", printable(view["display"] + (f": {view['reason']}" if view["reason"] else ""))),
        ("remedy", printable(view["remedy"] or "")),
    ]
    times = [
        ("received", view["received_at"]),
        ("submitted", view["first_submitted_at"] or ""),
        ("finished", view["finished_at"] or ""),
    ]
    facts = _refusal(view) if view["state"] == "rejected" else _progress(view, now)
    return [(name, value) for name, value in (*whose, *facts, *times, _place(view)) if value]


def _refusal(view: View) -> list[tuple[str, str]]:
    """Say of a refused set what it was: nothing of it was sent."""
    flawed = f", {count(view['flawed'])} flawed" if view["flawed"] else ""
    return [("lines", f"{count(view['requests'])}{flawed}; nothing was sent")]


def _progress(view: View, now: datetime) -> list[tuple[str, str]]:
    used = view["usage"]
    counted = [
        f"{short(used[f'{kind}_tokens'])} {kind}" for kind in _KINDS if used[f"{kind}_tokens"]
    ]
    return [
        ("model", f"{view['model']}, {view['kind']}, priority {view['priority']}"),
        ("requests", _settled(view)),
        ("batches", batch_counts(view["batches"])),
        ("generation", str(view["generation"])),
        ("tokens", ", ".join(counted) or f"about {short(view['tokens'])} to send"),
        ("cost", _cost_told(view)),
        ("oldest job", _age(view)),
        ("end", until(view["estimated_end_at"], now) if view["estimated_end_at"] else ""),
        ("answers of", view["answered_from"] or ""),
    ]


def _cost_told(view: View) -> str:
    if view["cost"] is None:
        return f'no price is set; add [pricing."{view["model"]}"] to the settings'
    if view["finished_at"] is None and view["cost_estimate"] is not None:
        return f"{money(view['cost'])} so far, about {money(view['cost_estimate'])} in all"
    return money(view["cost"])


def _place(view: View) -> tuple[str, str]:
    """Say where to look: at the results, or at what is wrong with a set that was refused."""
    folder = "rejected" if view["state"] == "rejected" else "outbox"
    name = "flaws" if folder == "rejected" else "results"
    return name, printable(f"{folder}/{view['outbox']}") if view["outbox"] else ""


_KINDS = ("prompt", "cached", "candidate", "thought")


def _settled(view: View) -> str:
    flawed = f" ({count(view['flawed'])} flawed)" if view["flawed"] else ""
    return (
        f"{count(view['answered'])} answered, {count(view['failed'])} failed{flawed}, "
        f"{count(view['open'])} open of {count(view['requests'])}"
    )


def _age(view: View) -> str:
    age = view["oldest_job_age_seconds"]
    return "" if age is None else f"{span(age)} of the {TARGET} that the service aims at"


def _wrong(what: str, remedy: str) -> str:
    return printable(f"! {what}; {remedy}" if remedy else f"! {what}")
