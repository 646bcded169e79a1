"""The ledger: what was accepted, executed and billed, how often, for whom.

A request is known by its project, its model, the digest of its body as it stood on the wire, and its identity (the key, or `#`
and its ordinal in the job). It is *accepted* when a job holds it, *executed and billed* when the job ended and answered it
without an error. The rows of all jobs are read from disk in passes, so memory stays flat however many there are.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.emulator.calls import Calls
from orchestrator.emulator.files import Files
from orchestrator.emulator.jobs import SUCCEEDED, Job, Jobs
from orchestrator.emulator.rows import OWN_ERROR, Row, read_rows

PASS_ROWS = 500_000
ERRORS = frozenset({"row_error", "row_empty_error"})


@dataclass(frozen=True, slots=True)
class Request:
    """How often one request was taken, and in which jobs."""

    project: str
    model: str
    body: str
    key: str
    accepted: int
    executed: int
    jobs: tuple[str, ...]


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
        jobs = [job for job in self._jobs.jobs.values() if project in {None, job.project}]
        passes = max(sum(job.count for job in jobs) // PASS_ROWS + 1, 1)
        for turn in range(passes):
            yield from self._pass(jobs, turn, passes)

    def _pass(self, jobs: list[Job], turn: int, passes: int) -> Iterator[Request]:
        found: dict[tuple[str, str, bytes, int], list[Any]] = {}
        for job in jobs:
            for ordinal, row in enumerate(read_rows(self._place(job.number, "rows"))):
                if _bucket(row.body, passes) == turn:
                    entry = found.setdefault(
                        (job.project, job.model, row.body, row.key), [0, 0, ()]
                    )
                    entry[0] += 1
                    entry[1] += self.executed(job, ordinal, row)
                    if len(entry[2]) < 100:
                        entry[2] = (*entry[2], job.id)
        for (owner, model, body, key), (accepted, executed, ids) in found.items():
            yield Request(owner, model, body.hex(), f"{key:016x}", accepted, executed, ids)

    def report(self, project: str | None = None) -> dict[str, Any]:
        """Add up the books: requests, money at stake, jobs and files left behind, calls."""
        totals = {
            "distinct": 0,
            "accepted": 0,
            "executed": 0,
            "accepted_again": 0,
            "executed_again": 0,
        }
        repeated: list[dict[str, Any]] = []
        for request in self.requests(project):
            totals["distinct"] += 1
            totals["accepted"] += request.accepted
            totals["executed"] += request.executed
            totals["accepted_again"] += request.accepted - 1
            totals["executed_again"] += max(request.executed - 1, 0)
            if request.accepted > 1 and len(repeated) < 1000:
                repeated.append(shown(request))
        jobs = [job for job in self._jobs.jobs.values() if project in {None, job.project}]
        return {
            "requests": totals,
            "repeated": repeated,
            "tokens": {
                "accepted": sum(job.tokens for job in jobs),
                "of_jobs_that_answered": sum(job.tokens for job in jobs if job.served),
            },
            "jobs": self._job_counts(jobs),
            "files": self._file_counts(project),
            "calls": [call for call in self._calls.shown() if project in {None, call["project"]}],
            "late_creates_refused": self._calls.late_refusals,
        }

    def _job_counts(self, jobs: list[Job]) -> dict[str, Any]:
        states: dict[str, int] = {}
        for job in jobs:
            states[job.state] = states.get(job.state, 0) + 1
        left = [job for job in jobs if self._jobs.is_there(job)]
        return {
            "created": len(jobs),
            "states": states,
            "by_origin": {
                origin: sum(job.origin == origin for job in jobs)
                for origin in ("create", "late", "twin")
            },
            "deleted": sum(job.deleted for job in jobs),
            "left_behind": len(left),
            "active": sum(job.is_active for job in jobs),
            "requests_not_executed": sum(
                job.count - job.served for job in jobs if not job.is_active
            ),
            "requests_of_ended_without_success": sum(
                job.count for job in jobs if not job.is_active and job.state != SUCCEEDED
            ),
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


def _bucket(body: bytes, passes: int) -> int:
    return int.from_bytes(body[:4], "big") % passes


def shown(request: Request) -> dict[str, Any]:
    """Write a request of the ledger as JSON."""
    return {
        "project": request.project,
        "model": request.model,
        "body": request.body,
        "key": request.key,
        "accepted": request.accepted,
        "executed": request.executed,
        "jobs": list(request.jobs),
    }
