"""The provider's own books: what was paid for, and how often. Our ledger is not asked."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.emulator.job import Job
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.rows import OWN_ERROR, read_rows

SHOWN_MAX = 3
FOLLOWED = frozenset({"row_doubled", "row_unknown"})
LOSSES = frozenset(
    {"row_missing", "row_no_identity", "row_neither", "row_truncated_json", "row_malformed"}
)


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
    held = _held(emulator)
    again = [holding for holding in held.values() if sum(one.billed for one in holding) > 1]
    excess = [holding for holding in held.values() if len(_paying(holding)) > 1]
    jobs_again = _second_jobs(excess)
    findings = []
    if len(jobs_again) > booked:
        shown = ", ".join(sorted(jobs_again)[:SHOWN_MAX])
        findings.append(
            f"paid twice: {len(again)} requests answered again, {len(excess)} accepted again, by"
            f" {len(jobs_again)} more jobs than needed ({shown}), {booked} of them booked"
        )
    findings += _names(emulator, prefix)
    executed = sum(one.billed for holding in held.values() for one in holding)
    return Books(len(held), executed, len(again), len(emulator.jobs.jobs), tuple(findings))


@dataclass(frozen=True)
class Held:
    """One request in one job: whether it was answered and billed, and whether that was lost.

    An answer that the provider billed and left out of its output has to be asked for again.
    """

    job: Job
    billed: bool
    lost: bool


def _held(emulator: Emulator) -> dict[tuple[str, bytes, int], list[Held]]:
    """Find for every request (model, body, key) the jobs that hold it, the oldest first."""
    held: dict[tuple[str, bytes, int], list[Held]] = {}
    for job in sorted(emulator.jobs.jobs.values(), key=lambda job: job.number):
        rows = list(read_rows(emulator.place(job.number, "rows")))
        faults = [job.rules[row.fate - 1].do if 0 < row.fate < OWN_ERROR else "" for row in rows]
        cut_off = _cut_off(emulator, job, faults)
        for ordinal, (row, fault) in enumerate(zip(rows, faults, strict=True)):
            lost = fault in LOSSES or ordinal == cut_off
            one = Held(job, emulator.meter.executed(job, ordinal, row), lost)
            held.setdefault((job.model, row.body, row.key), []).append(one)
    return held


def _cut_off(emulator: Emulator, job: Job, faults: Sequence[str]) -> int | None:
    """Find the request whose answer, the last line of its output, the provider cut in two.

    Answers to an inline job come in one body, which is never cut; of a line that is followed by
    itself, or by another's, once more, the first is whole.
    """
    if not job.fate.cut_last_line or job.input_file is None:
        return None
    count = len(faults)
    order = emulator.dice.order(count, "shuffle", job.number, 0)
    shown = [
        ordinal
        for ordinal in (order if job.fate.shuffle else range(count))
        if faults[ordinal] != "row_missing"
    ]
    last = shown[-1] if shown else None
    return None if last is None or faults[last] in FOLLOWED else last


def _paying(holding: list[Held]) -> list[Job]:
    """Name the jobs that were, or may still be, paid for a request, and did not lose its answer."""
    return [
        one.job
        for one in holding
        if not one.lost and (one.billed or (one.job.is_active and not one.job.fate.stuck))
    ]


def _second_jobs(excess: list[list[Held]]) -> set[str]:
    """Name the jobs that would not have been needed: all but the first that pays for a request."""
    return {job.id for holding in excess for job in _paying(holding)[1:]}


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
