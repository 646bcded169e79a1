"""Batch jobs as objects: PENDING, RUNNING and the ends, by their age; nothing happens between two
looks that a look cannot find.

There are no timers: `settle` brings every job to where its age says that it is, and is called
before every answer. Ages are seconds of `clock.py`, times nanoseconds on the wall.
"""

import heapq
import math
from collections.abc import Callable

import msgspec

from orchestrator.emulator.clock import NS, EmulatorClock
from orchestrator.emulator.dice import Dice
from orchestrator.emulator.job import (
    CANCELLED,
    ENDS,
    EXPIRED,
    FAILED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Fate,
    Job,
    Order,
)
from orchestrator.emulator.journal import Journal
from orchestrator.emulator.refusals import Refusal, entity_not_found, forbidden_file
from orchestrator.emulator.settings import EmulatorSettings, span


class Jobs:
    """All jobs of all projects."""

    def __init__(
        self, settings: EmulatorSettings, clock: EmulatorClock, journal: Journal, dice: Dice
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._dice = dice
        self.input_is_there: Callable[[Job, int], bool] = _always
        self.when_ended: Callable[[Job], None] = _unheard
        self.jobs: dict[str, Job] = {}
        self.active: dict[str, Job] = {}
        self._due: list[tuple[float, str]] = []
        for id_, raw in journal.records("job"):
            job = msgspec.json.decode(raw, type=Job)
            self.jobs[id_] = job
            if job.is_active:
                self._watch(job)

    def next_number(self) -> int:
        """Say the number that the next job will have: 1 for the first."""
        return len(self.jobs) + 1

    def plan(self, number: int) -> Fate:
        """Draw how a job will go when nothing goes wrong."""
        settings, dice = self._settings, self._dice
        low, high = span(settings.pending_seconds)
        least, most = span(settings.running_seconds)
        return Fate(
            pending=dice.between(low, high, "pending", number),
            running=dice.between(least, most, "running", number),
            skip_running=dice.fraction("skip", number) < settings.skip_running,
            output_after=settings.unknowns.output_lag_seconds,
            hide_for=settings.unknowns.list_lag_seconds,
            get_lag=settings.unknowns.get_lag_seconds,
            shuffle=not settings.unknowns.results_in_order,
        )

    def create(self, order: Order, wall: int | None = None) -> Job:
        """Accept an order: from here on the job exists, whether or not anybody hears the answer."""
        number = self.next_number()
        moment = self._clock.wall() if wall is None else wall
        now = moment + 1 + self._jitter(number, 998)
        job = Job(
            number=number,
            id=self._dice.letters(36, "job", number),
            project=order.project,
            kind=order.kind,
            model=order.model,
            count=order.count,
            tokens=order.tokens,
            created=now,
            age=self._clock.age(moment),
            fate=order.fate,
            display_name=order.display_name,
            priority=order.priority,
            input_file=order.input_file,
            updated=now,
            row_errors=order.row_errors,
            rules=order.rules,
            uris=list(order.uris),
            user_metadata=order.user_metadata or {},
            origin=order.origin,
        )
        self.jobs[job.id] = job
        self._watch(job)
        self._put(job)
        return job

    def settle(self) -> None:
        """Bring every job to its age."""
        age = self._clock.age()
        while self._due and self._due[0][0] <= age:
            due, id_ = heapq.heappop(self._due)
            job = self.jobs[id_]
            if job.is_active and self._next(job) <= due:
                self._step(job, due)

    def get(self, project: str, id_: str) -> Job:
        """Find a project's job; deleted, vanished and foreign ones are all the same 404."""
        job = self.jobs.get(id_)
        if job is None or job.project != project or not self.is_there(job):
            raise entity_not_found()
        if not self.has_passed(job.created, job.fate.get_lag):
            raise entity_not_found()
        return job

    def list(self, project: str) -> list[Job]:
        """List the jobs that a project can see, in the order that the settings say."""
        seen = [
            job
            for job in reversed(self.jobs.values())
            if job.project == project
            and self.is_there(job)
            and self.has_passed(job.created, job.fate.hide_for)
        ]
        order = self._settings.unknowns.batches_order
        if order == "oldest":
            seen.reverse()
        elif order == "shuffled":
            seen.sort(key=lambda job: self._dice.number("list", job.id))
        return seen

    def is_there(self, job: Job) -> bool:
        """Say whether a job can still be found."""
        after = job.fate.vanish_after
        vanished = after is not None and self.has_passed(job.created, after)
        return not job.deleted and not vanished

    def has_passed(self, since: int, seconds: float) -> bool:
        """Say whether so much time has passed since a stamp; its nanoseconds are for show."""
        return self._clock.wall() >= since - since % 1000 + round(seconds * NS)

    def cancel(self, job: Job) -> None:
        """Ask a job to stop; it stops a little later, and still reads PENDING or RUNNING until
        then.
        """
        if not job.is_active:
            if self._settings.unknowns.cancel_finished == "ignored":
                return
            raise Refusal(400, "The batch is already in a terminal state.", "FAILED_PRECONDITION")
        if job.cancel_age is None:
            low, high = span(self._settings.cancel_seconds)
            delay = self._dice.between(low, high, "cancel", job.number)
            job.cancel_age = self._clock.age() + delay
            self._watch(job)
            self._put(job)

    def delete(self, job: Job) -> None:
        """Delete a job and its output; a running one may go on unseen, and be paid for."""
        job.deleted = True
        job.output_deleted = True
        if job.is_active and self._settings.unknowns.delete_running == "stops":
            self._end(job, CANCELLED, self._clock.age())
        self._put(job)

    def move(self, job: Job, state: str) -> None:
        """Move a job by hand to any state, even one that nobody has heard of."""
        age = self._clock.age()
        if state == PENDING:
            raise ValueError("a job cannot be moved back to PENDING")
        if state == RUNNING:
            self._run(job, age)
            self._watch(job)
        elif state in ENDS:
            self._end(job, state, age)
        else:
            job.state = state
            job.updated = self._clock.wall()
            job.fate.stuck = True
        self._put(job)

    def change(self, job: Job) -> None:
        """Record a change that was made from outside."""
        self._put(job)

    # How a job ages

    def _next(self, job: Job) -> float:
        fate = job.fate
        expiry = job.age + self._settings.job_expiry_seconds
        cancel = math.inf if job.cancel_age is None else job.cancel_age
        if job.state == PENDING:
            step = math.inf if fate.never_runs else job.age + fate.pending
        elif fate.stuck or job.started_age is None:
            step = math.inf
        else:
            step = job.started_age + fate.running
        return min(expiry, cancel, step)

    def _step(self, job: Job, age: float) -> None:
        expiry = job.age + self._settings.job_expiry_seconds
        if job.cancel_age is not None and job.cancel_age <= age:
            self._stop(job, age)
        elif expiry <= age:
            self._end(job, EXPIRED, age)
        elif job.state == PENDING and not self.input_is_there(job, self._clock.wall_at(age)):
            job.fate.code, job.fate.message = 7, forbidden_file(job.input_file or "").message
            self._end(job, FAILED, age)
        elif job.state == PENDING and not (job.fate.skip_running and not job.fate.stuck):
            self._run(job, age)
            self._watch(job)
        elif job.fate.unknown_state:
            job.state, job.updated = job.fate.unknown_state, self._clock.wall_at(age)
        else:
            self._end(job, job.fate.end, age)
        self._put(job)

    def _run(self, job: Job, age: float) -> None:
        job.state, job.started_age = RUNNING, age
        job.updated = self._clock.wall_at(age) + self._jitter(job.number, 999)

    def _stop(self, job: Job, age: float) -> None:
        partial = self._settings.unknowns.cancel_running == "partial"
        if job.state == RUNNING and partial:
            share = self.progress(job, age)
            job.fate.served_fraction = min(job.fate.served_fraction, share)
            self._end(job, SUCCEEDED, age)
        else:
            self._end(job, CANCELLED, age)

    def progress(self, job: Job, age: float) -> float:
        """Say which share of a running job is done."""
        if job.started_age is None or job.fate.running <= 0:
            return 0.0
        return min(max((age - job.started_age) / job.fate.running, 0.0), 1.0)

    def _end(self, job: Job, state: str, age: float) -> None:
        job.state, job.ended_age = state, age
        job.ended = self._clock.wall_at(age) + self._jitter(job.number, 999)
        job.updated = job.ended - 30 - self._jitter(job.number, 240)
        job.code, job.message = self._error(job, state)
        keeps = state == SUCCEEDED or (
            self._settings.unknowns.failed_has_output
            if state == FAILED
            else self._settings.unknowns.cancelled_has_output and state == CANCELLED
        )
        share = job.fate.served_fraction if state == SUCCEEDED else self.progress(job, age)
        job.served = math.floor(job.count * share) if keeps else 0
        cut = job.count - job.served if state == SUCCEEDED else 0
        job.failed = min(job.row_errors, job.served) + cut
        self.when_ended(job)

    def _error(self, job: Job, state: str) -> tuple[int | None, str | None]:
        match state:
            case "BATCH_STATE_FAILED":
                return job.fate.code or 13, job.fate.message or "Internal error encountered."
            case "BATCH_STATE_CANCELLED":
                return 13, f"Batch {job.id} failed without error."
            case "BATCH_STATE_EXPIRED" if self._settings.unknowns.expired_error:
                return 4, "The batch did not complete within 48 hours."
            case _:
                return None, None

    def _watch(self, job: Job) -> None:
        self.active[job.id] = job
        due = self._next(job)
        if due < math.inf:
            heapq.heappush(self._due, (due, job.id))

    def _jitter(self, number: int, below: int) -> int:
        return self._dice.number("ns", number, self._clock.wall()) % below

    def _put(self, job: Job) -> None:
        if not job.is_active:
            self.active.pop(job.id, None)
        self._journal.write("job", job.id, job)


def _always(job: Job, wall: int) -> bool:  # noqa: ARG001 - stands in for a look at the files
    return True


def _unheard(job: Job) -> None:
    """Stands in for whoever wants to know that a job has ended."""
