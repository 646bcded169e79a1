"""Scripted bad manners: what to do wrong, to which call, how often.

A `Fault` names an action (`do`) and whom it hits. One endpoint call is one draw: faults are matched
in the order of the plan, and each that matches fires. Chance comes from the seed, so a run can be
repeated. Trouble: an unknown action or field is refused when the fault is added, with the known
ones named.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from orchestrator.emulator.dice import Dice
from orchestrator.emulator.journal import Journal

CREATE, GET, LIST = "batches.create", "batches.get", "batches.list"
UPLOAD, START, QUERY = "files.upload", "files.start", "files.query"
DOWNLOAD = "files.download"

CALL_ACTIONS = {
    "answer": "*",
    "quota": CREATE,
    "no_credit": CREATE,
    "unavailable": "*",
    "empty_error": "*",
    "html": "*",
    "malformed": "*",
    "list_wrapped_error": "*",
    "redirect": "*",
    "lose_request": "*",
    "lose_answer": "*",
    "half_answer": "*",
    "slow": "*",
    "slow_answer": "*",
    "drip": "*",
    "late": CREATE,
    "cut_request": UPLOAD,
}
LIST_ACTIONS = {
    "hide": LIST,
    "empty_list": LIST,
    "repeat_page_token": LIST,
    "truncate_page": LIST,
    "empty_page": LIST,
}
JOB_ACTIONS = {
    "fail": CREATE,
    "expire": CREATE,
    "cancelled": CREATE,
    "stuck": CREATE,
    "state": CREATE,
    "timing": CREATE,
    "vanish": CREATE,
    "late_output": CREATE,
    "twin": CREATE,
    "rename": CREATE,
    "hide_new": CREATE,
    "lag_get": CREATE,
    "shuffle": CREATE,
    "cut_last_line": CREATE,
    "partial": CREATE,
    "skew": CREATE,
}
ROW_ACTIONS = {
    "row_error": CREATE,
    "row_missing": CREATE,
    "row_doubled": CREATE,
    "row_unknown": CREATE,
    "row_no_identity": CREATE,
    "row_blocked": CREATE,
    "row_no_candidates": CREATE,
    "row_no_parts": CREATE,
    "row_neither": CREATE,
    "row_line_separators": CREATE,
    "row_image": CREATE,
    "row_max_tokens": CREATE,
    "row_safety": CREATE,
    "row_truncated_json": CREATE,
    "row_malformed": CREATE,
    "row_empty_error": CREATE,
}
FILE_ACTIONS = {
    "processing": UPLOAD,
    "file_failed": UPLOAD,
    "file_vanish": UPLOAD,
    "no_upload_status": UPLOAD,
    "out_of_step": UPLOAD,
    "cancel_session": UPLOAD,
    "final_without_body": QUERY,
    "cut": DOWNLOAD,
    "ignore_range": DOWNLOAD,
    "not_there": DOWNLOAD,
}
ACTIONS = CALL_ACTIONS | LIST_ACTIONS | JOB_ACTIONS | ROW_ACTIONS | FILE_ACTIONS


class Fault(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One scripted fault. `docs/emulator.md` says what each action does and which parameters it
    reads.
    """

    do: str
    on: str = ""
    nth: int | list[int] = 0
    every: int = 0
    times: int = 0
    probability: float = 1.0
    batch: str = "*"
    model: str = "*"
    project: str = "*"
    file: str = "*"
    key: str = "*"
    rows: float | list[int] = 1.0
    status: int = 0
    rpc: str = ""
    code: int = 0
    message: str = ""
    body: str = ""
    headers: dict[str, str] = {}
    details: list[dict[str, Any]] = []
    seconds: float = 0.0
    pending_seconds: float | None = None
    running_seconds: float | None = None
    bytes: int = 0
    fraction: float = 0.0
    count: int = 0
    text: str = ""
    location: str = ""

    def __post_init__(self) -> None:
        """Refuse an action that does not exist, and a chance that is none."""
        if self.do not in ACTIONS:
            raise ValueError(f"unknown fault {self.do!r}; known are: {', '.join(sorted(ACTIONS))}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"fault {self.do!r}: probability must be from 0 to 1")

    @property
    def endpoint(self) -> str:
        """The endpoint that it hits: as given, else where the action makes sense."""
        return self.on or ACTIONS[self.do]


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call when faults are drawn for it."""

    endpoint: str
    project: str = ""
    model: str = ""
    batch: str = ""
    file: str = ""


class Entry(msgspec.Struct):
    """A fault with its counts: how many calls matched, and how often it fired."""

    fault: Fault
    seen: int = 0
    fired: int = 0


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """The file format of a plan: a list of faults under `fault`."""

    fault: list[Fault] = []


class FaultBook:
    """The faults in force, with their counts."""

    def __init__(self, dice: Dice, journal: Journal) -> None:
        self._dice = dice
        self._journal = journal
        self.entries: list[Entry] = [
            msgspec.json.decode(raw, type=Entry) for _, raw in journal.records("fault")
        ]

    def add(self, faults: Iterable[Fault]) -> None:
        """Add faults at the end of the plan."""
        for fault in faults:
            self.entries.append(Entry(fault))
            self._keep(len(self.entries) - 1)

    def load(self, faults: list[Fault]) -> None:
        """Take a plan at start; the counts go on if it is the one of the last run."""
        if [entry.fault for entry in self.entries][: len(faults)] != faults:
            self.clear()
            self.add(faults)

    def clear(self) -> None:
        """Behave from now on."""
        for index in range(len(self.entries)):
            self._journal.write("fault", str(index), Entry(Fault(do="slow", probability=0)))
        self.entries = []

    def draw(self, call: Call) -> list[Fault]:
        """Count a call and say which faults it meets."""
        fired = []
        for index, entry in enumerate(self.entries):
            if self._matches(entry.fault, call):
                entry.seen += 1
                if self._fires(index, entry):
                    entry.fired += 1
                    fired.append(entry.fault)
                self._keep(index)
        return fired

    def hits_row(self, fault: Fault, job: int, ordinal: int, key: str | None) -> bool:
        """Say whether a row action hits a row: by its key, and by ordinals or a share of all
        rows.
        """
        if fault.key != "*" and not fnmatchcase(key or "", fault.key):
            return False
        if isinstance(fault.rows, list):
            return ordinal in fault.rows
        return fault.rows >= 1 or self._dice.fraction("row", fault.do, job, ordinal) < fault.rows

    def _matches(self, fault: Fault, call: Call) -> bool:
        return (
            fnmatchcase(call.endpoint, fault.endpoint)
            and fnmatchcase(call.batch, fault.batch)
            and fnmatchcase(call.model, fault.model)
            and fnmatchcase(call.project, fault.project)
            and fnmatchcase(call.file, fault.file)
        )

    def _fires(self, index: int, entry: Entry) -> bool:
        fault = entry.fault
        if fault.times and entry.fired >= fault.times:
            return False
        wanted = fault.nth if isinstance(fault.nth, list) else [fault.nth] if fault.nth else []
        if wanted and entry.seen not in wanted:
            return False
        if fault.every and entry.seen % fault.every:
            return False
        if fault.probability >= 1:
            return True
        return self._dice.fraction("fault", index, entry.seen) < fault.probability

    def _keep(self, index: int) -> None:
        self._journal.write("fault", str(index), self.entries[index])


def of(faults: Iterable[Fault], *actions: str) -> Fault | None:
    """Find the first fault with one of these actions."""
    return next((fault for fault in faults if fault.do in actions), None)
