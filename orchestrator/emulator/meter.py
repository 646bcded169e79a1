"""The ledger: what was accepted, executed and billed, how often, for whom.

A request is known by its project, its model, the digest of its body as it stood on the wire, and
its identity (the key, or `#` and its ordinal in the job). It is *accepted* when a job holds it,
*executed and billed* when the job ended and answered it without an error. The rows of all jobs are
read from disk in passes, so memory stays flat however many there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.emulator.calls import Calls
from orchestrator.emulator.files import Files
from orchestrator.emulator.job import Job
from orchestrator.emulator.jobs import Jobs
from orchestrator.emulator.rows import OWN_ERROR, Row, read_rows

PASS_ROWS = 100_000
REPEATED_MAX = 1000
JOBS_SHOWN_MAX = 100
ERRORS = frozenset({"row_error", "row_empty_error"})

Identity = tuple[str, str, bytes, int]


@dataclass(slots=True)
class Request:
    """How often one request was taken, and in which jobs (the first hundred)."""

    project: str
    model: str
    body: str
    key: str
    accepted: int = 0
    executed: int = 0
    jobs: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Write it as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


class Meter:
    """Reads the books."""

    def __init__(
        self, jobs: Jobs, files: Files, calls: Calls, *, place: Callable[[int, str], Path]
    ) -> None:
        self._jobs = jobs
        self._files = files
        self._calls = calls
        self._place = place

    def executed(self, job: Job, ordinal: int, row: Row) -> bool:
        """Say whether a request of a job was answered, and is therefore billed."""
        if ordinal >= job.served or row.fate == OWN_ERROR:
            return False
        return row.fate == 0 or job.rules[row.fate - 1].do not in ERRORS

    def requests(self, project: str | None = None) -> Iterator[Request]:
        """Yield every distinct request with its counts, in passes of bounded memory."""
        jobs = self._of(project)
        passes = sum(job.count for job in jobs) // PASS_ROWS + 1
        for turn in range(passes):
            yield from self._pass(jobs, _shared(turn, passes)).values()

    def report(self, project: str | None = None) -> dict[str, Any]:
        """Add up the books: requests, tokens, jobs and files left behind, calls."""
        jobs = self._of(project)
        return {
            "requests": self._totals(jobs),
            "repeated": [request.shown() for request in self.repeated(project)],
            "tokens": {
                "accepted": sum(job.tokens for job in jobs),
                "of_jobs_that_answered": sum(job.tokens for job in jobs if job.served),
            },
            "jobs": self._job_counts(jobs),
            "files": self._file_counts(project),
            "calls": [call for call in self._calls.shown() if project in {None, call["project"]}],
            "late_creates_refused": self._calls.late_refusals,
        }

    def repeated(self, project: str | None = None) -> list[Request]:
        """List the requests that were accepted more than once, at most the first thousand."""
        from orchestrator.emulator import tally  # noqa: PLC0415 - numpy is slow to import

        jobs = self._of(project)
        marks = tally.repeated_marks(self._ledger(jobs), REPEATED_MAX)
        if not marks:
            return []
        numbers = tally.job_numbers(jobs)
        found: dict[Identity, Request] = {}
        for job in jobs:
            salt = numbers[job.project, job.model]
            self._read(job, tally.marked(salt, marks), found)
        return [request for request in found.values() if request.accepted > 1]

    def _totals(self, jobs: list[Job]) -> dict[str, int]:
        from orchestrator.emulator import tally  # noqa: PLC0415 - numpy is slow to import

        return tally.totals(self._ledger(jobs))

    def _ledger(self, jobs: list[Job]) -> "list[Any]":
        from orchestrator.emulator import tally  # noqa: PLC0415 - numpy is slow to import

        numbers = tally.job_numbers(jobs)
        return [
            tally.Rows(
                path=self._place(job.number, "rows"),
                salt=numbers[job.project, job.model],
                served=job.served,
                unbilled=(
                    OWN_ERROR,
                    *(at for at, rule in enumerate(job.rules, 1) if rule.do in ERRORS),
                ),
            )
            for job in jobs
        ]

    def _of(self, project: str | None) -> list[Job]:
        return [job for job in self._jobs.jobs.values() if project in {None, job.project}]

    def _pass(self, jobs: list[Job], wanted: Callable[[Row], bool]) -> dict[Identity, Request]:
        found: dict[Identity, Request] = {}
        for job in jobs:
            self._read(job, wanted, found)
        return found

    def _read(
        self, job: Job, wanted: Callable[[Row], bool], found: dict[Identity, Request]
    ) -> None:
        for ordinal, row in enumerate(read_rows(self._place(job.number, "rows"))):
            if not wanted(row):
                continue
            identity = (job.project, job.model, row.body, row.key)
            entry = found.get(identity)
            if entry is None:
                entry = Request(job.project, job.model, row.body.hex(), f"{row.key:016x}")
                found[identity] = entry
            entry.accepted += 1
            entry.executed += self.executed(job, ordinal, row)
            if len(entry.jobs) < JOBS_SHOWN_MAX:
                entry.jobs.append(job.id)

    def _job_counts(self, jobs: list[Job]) -> dict[str, Any]:
        states: dict[str, int] = {}
        unexecuted: dict[str, int] = {}
        for job in jobs:
            states[job.state] = states.get(job.state, 0) + 1
            if job.ended is not None and job.served < job.count:
                lacking = job.count - job.served
                unexecuted[job.state] = unexecuted.get(job.state, 0) + lacking
        left = [job for job in jobs if self._jobs.is_there(job)]
        origins = ("create", "late", "twin")
        return {
            "created": len(jobs),
            "states": states,
            "by_origin": {name: sum(job.origin == name for job in jobs) for name in origins},
            "deleted": sum(job.deleted for job in jobs),
            "left_behind": len(left),
            "active": sum(job.is_active for job in jobs),
            "requests_not_executed": unexecuted,
        }

    def _file_counts(self, project: str | None) -> dict[str, int]:
        files = [file for file in self._files.files.values() if project in {None, file.project}]
        left = [file for file in files if self._files.is_there(file)]
        return {
            "created": len(files),
            "deleted": sum(file.deleted for file in files),
            "left_behind": len(left),
            "bytes_left_behind": sum(file.size for file in left),
        }


def _shared(turn: int, passes: int) -> Callable[[Row], bool]:
    def wanted(row: Row) -> bool:
        return int.from_bytes(row.body[:4], "little") % passes == turn

    return wanted
