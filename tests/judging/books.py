"""The provider's own books: what was paid for, and how often. Our ledger is not asked."""

from collections import Counter
from dataclasses import dataclass

from orchestrator.emulator.job import Job
from orchestrator.emulator.meter import Request
from orchestrator.emulator.provider import Emulator

SHOWN_MAX = 3


@dataclass(frozen=True)
class Books:
    """What one world cost. `again` counts requests that were answered and billed repeatedly."""

    requests: int
    executed: int
    again: int
    jobs: int
    findings: tuple[str, ...]


def read_books(emulator: Emulator, *, booked: int = 0, prefix: str = "orc1-") -> Books:
    """Read the books of a world at rest.

    `booked` is the number of incidents that the daemon itself reported: so many jobs may have
    been a second one for their requests, and not one more.
    """
    requests = list(emulator.meter.requests())
    again = [request for request in requests if request.executed > 1]
    excess = [request for request in requests if _paying(emulator, request) > 1]
    jobs_again = _second_jobs(emulator, [*again, *excess])
    findings = []
    if len(jobs_again) > booked:
        shown = ", ".join(sorted(jobs_again)[:SHOWN_MAX])
        findings.append(
            f"paid twice: {len(again)} requests answered again, {len(excess)} accepted again, by"
            f" {len(jobs_again)} more jobs than needed ({shown}), {booked} of them booked"
        )
    findings += _names(emulator, prefix)
    executed = sum(request.executed for request in requests)
    return Books(len(requests), executed, len(again), len(emulator.jobs.jobs), tuple(findings))


def _paying(emulator: Emulator, request: Request) -> int:
    """Count the jobs that hold a request and are, or may still be, paid for."""
    return sum(_may_pay(emulator.jobs.jobs[name]) for name in request.jobs)


def _may_pay(job: Job) -> bool:
    return (job.is_active and not job.fate.stuck) or job.served > job.failed


def _second_jobs(emulator: Emulator, requests: list[Request]) -> set[str]:
    """Name the jobs that would not have been needed: all but the first that pays for a request."""
    second: set[str] = set()
    for request in requests:
        paying = [name for name in request.jobs if _may_pay(emulator.jobs.jobs[name])]
        second.update(sorted(paying, key=lambda name: emulator.jobs.jobs[name].number)[1:])
    return second


def _names(emulator: Emulator, prefix: str) -> list[str]:
    """One token is the name of one job at most, unless the provider doubled it or it came late."""
    made = [job for job in emulator.jobs.jobs.values() if job.origin == "create"]
    names = Counter(job.display_name or "" for job in made)
    findings = [
        f"a job without our name: {name!r}" for name in names if not name.startswith(prefix)
    ]
    findings += [
        f"{count} creates bear the token {name}" for name, count in names.items() if count > 1
    ]
    return findings
