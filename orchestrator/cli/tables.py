"""What `status` shows, as rows of words; how they are drawn is decided elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from orchestrator.cli.formats import DASH, bar, count, money, percent, short, size, span, until
from orchestrator.service.printable import shown_name

View: TypeAlias = Mapping[str, Any]
TARGET = "24h"  # what the service aims at for a batch
BATCH_STATES = ("planned", "uploaded", "submitting", "submitted", "ended", "collected", "lapsed")
SET_COLUMNS = ("SET", "STATE", "DONE", "", "REQUESTS", "FAILED", "BATCHES", "OLDEST", "COST", "END")
SET_COLUMNS_OPTIONAL = ("BATCHES", "OLDEST", "FAILED", "END", "REQUESTS")  # dropped in this order
BATCH_COLUMNS = ("NO", "GEN", "STATE", "REQUESTS", "SIZE", "AGE", "JOB", "NOTE")


def set_row(view: View, now: datetime) -> tuple[str, ...]:
    """Return one set as cells of `SET_COLUMNS`."""
    settled = view["answered"] + view["failed"]
    refused = view["state"] == "rejected"
    return (
        shown_name(view["name"]),
        view["display"],
        DASH if refused else percent(settled, view["requests"]),
        DASH if refused else bar(settled, view["requests"]),
        f"{count(settled)}/{count(view['requests'])}",
        count(view["failed"]) if view["failed"] else DASH,
        batch_counts(view["batches"]),
        f"{span(view['oldest_job_age_seconds'])}/{TARGET}"
        if view["oldest_job_age_seconds"] is not None
        else DASH,
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
        shown_name(note(view)),
    )


def note(view: View) -> str:
    """Say what is worth saying about a batch."""
    if view["error"]:
        return f"{view['outcome']}: {view['error']['message']}"
    if view["detail"]:
        return str(view["detail"])
    return str(view["outcome"] or view["job_state"] or "")


def batch_counts(batches: View) -> str:
    """Write the batches of a set by state, leaving out states without any."""
    parts = [f"{batches[state]} {state}" for state in BATCH_STATES if batches[state]]
    return ", ".join(parts) or DASH


def cost(view: View) -> str:
    """Write what a set cost so far, and what it is expected to cost."""
    if view["cost"] is None:
        used = view["usage"]
        tokens = sum(used.values()) - used["cached_tokens"]  # cached ones are prompt tokens too
        return f"{short(tokens)} tokens" if tokens else DASH
    if view["finished_at"] is None and view["cost_estimate"] is not None:
        return f"{money(view['cost'])} of {money(view['cost_estimate'])}"
    return money(view["cost"])


def headlines(status: View) -> list[str]:
    """Return the lines above the table: the daemon, and everything that is wrong."""
    service, totals = status["service"], status["totals"]
    since = f"{service['state']} for {span(service['uptime_seconds'])} (pid {service['pid']})"
    today = f"{count(totals['open'])} requests open, spent today {money(totals['spent_today'])}"
    lines = [f"orchestrator {service['version']} {since}, {today}"]
    lines += [_wrong(each["message"], each["remedy"]) for each in status["conditions"]]
    lines += [
        _wrong(f"{project['name']} blocked: {project['reason']}", project["remedy"] or "")
        for project in status["projects"]
        if project["blocked"]
    ]
    lines += [
        f"reading {shown_name(drop['name'])}: {percent(drop['bytes_done'], drop['bytes_total'])}"
        f" of {size(drop['bytes_total'])}"
        for drop in status["reading"]
    ]
    return lines


def reasons(views: Sequence[View]) -> list[str]:
    """Return a line for every set that waits for the operator."""
    return [
        _wrong(f"{shown_name(view['name'])} {view['display']}: {view['reason']}", view["remedy"])
        for view in views
        if view["reason"] and view["display"] in {"held", "rejected"}
    ]


def set_facts(view: View, now: datetime) -> list[tuple[str, str]]:
    """Return one set as names and values, for a page of its own."""
    used = view["usage"]
    tokens = [
        f"{short(used[f'{kind}_tokens'])} {kind}" for kind in _KINDS if used[f"{kind}_tokens"]
    ]
    state = view["display"] + (f": {view['reason']}" if view["reason"] else "")
    facts = [
        ("set", f"{shown_name(view['name'])} ({view['id']})"),
        ("state", shown_name(state)),
        ("remedy", shown_name(view["remedy"] or "")),
        ("model", f"{view['model']}, {view['kind']}, priority {view['priority']}"),
        ("requests", _settled(view)),
        ("batches", batch_counts(view["batches"])),
        ("generation", str(view["generation"])),
        ("tokens", ", ".join(tokens) or f"about {short(view['tokens'])} to send"),
        ("cost", cost(view) if view["cost"] is not None else "no price is set for the model"),
        ("received", view["received_at"]),
        ("submitted", view["first_submitted_at"] or ""),
        ("finished", view["finished_at"] or ""),
        ("oldest job", _age(view)),
        ("end", until(view["estimated_end_at"], now) if view["estimated_end_at"] else ""),
        ("answers of", view["answered_from"] or ""),
        _place(view),
    ]
    return [(name, value) for name, value in facts if value]


def _place(view: View) -> tuple[str, str]:
    """Say where to look: at the results, or at what is wrong with a set that was refused."""
    folder = "rejected" if view["state"] == "rejected" else "outbox"
    name = "flaws" if folder == "rejected" else "results"
    return name, shown_name(f"{folder}/{view['outbox']}") if view["outbox"] else ""


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
    return shown_name(f"! {what}; {remedy}" if remedy else f"! {what}")
