"""The whole provider as plain objects: files, jobs, faults, and the ledger of what was paid.

It takes `now` from the clock that it is given, keeps everything in its state directory, and has no
threads and no timers: whatever is due is done when somebody next looks.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.emulator.calls import Calls
from orchestrator.emulator.clock import NS, EmulatorClock, Leg
from orchestrator.emulator.creating import Asked, Creator
from orchestrator.emulator.deliveries import Deliveries
from orchestrator.emulator.dice import Dice
from orchestrator.emulator.faults import Fault, FaultBook
from orchestrator.emulator.files import Files
from orchestrator.emulator.job import SUCCEEDED, Job
from orchestrator.emulator.jobs import Jobs
from orchestrator.emulator.journal import Journal
from orchestrator.emulator.limits import Limits
from orchestrator.emulator.meter import Meter
from orchestrator.emulator.refusals import Refusal, bad_key, no_key
from orchestrator.emulator.results import Results
from orchestrator.emulator.settings import EmulatorSettings, span
from orchestrator.emulator.views import inlined, metadata, operation
from orchestrator.emulator.webhooks import Webhooks


class Late(msgspec.Struct):
    """A create that will be executed at `due`, long after its caller was told nothing."""

    due: int
    project: str
    version: str
    kind: str
    model: str
    body: str
    fired: list[Fault]
    done: bool = False


class Emulator:
    """The provider. `create_app` puts HTTP over it."""

    def __init__(
        self, settings: EmulatorSettings, *, clock: Callable[[], datetime], state_dir: Path
    ) -> None:
        self.settings = settings
        self.state_dir = Path(state_dir)
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.state_dir)
        self._given_clock = clock
        self.threads = ThreadPoolExecutor(1, "emulator-hash") if settings.hash_in_thread else None
        self._open()

    def _open(self) -> None:
        settings = self.settings
        self._downloads = 0
        self._jobs_folder = self.state_dir / "jobs"
        self._jobs_folder.mkdir(exist_ok=True)
        for left in self._jobs_folder.glob("draft-*"):
            left.unlink()
        self.dice = Dice(settings.seed)
        self.journal = Journal(self.state_dir / "journal.jsonl")
        self.clock = EmulatorClock(self._given_clock, settings.speed)
        self._resume_clock()
        self.faults = FaultBook(self.dice, self.journal)
        self.files = Files(settings, self.clock, self.journal, self.dice, self.state_dir)
        self.jobs = Jobs(settings, self.clock, self.journal, self.dice)
        if settings.unknowns.input_needed_at_run:
            self.jobs.input_is_there = self._input_is_there
        self.webhooks = Webhooks(self.clock, self.journal, self.dice)
        self.deliveries = Deliveries(settings, self.clock, self.journal, self.dice, self.webhooks)
        self.jobs.when_ended = self.deliveries.announce
        self.limits = Limits(settings, self.clock, self.jobs)
        self.calls = Calls(self.journal)
        self.meter = Meter(self.jobs, self.files, self.calls, place=self.place)
        self._creator = Creator(
            settings, self.files, self.jobs, self.limits, self.faults, place=self.place
        )
        self.revoked = {id_ for id_, raw in self.journal.records("revoked") if raw == b"true"}
        self.late = [msgspec.json.decode(raw, type=Late) for _, raw in self.journal.records("late")]
        self.journal.forget_opening()

    def close(self) -> None:
        """Close the journal and let go of the state directory; everything is on disk already."""
        self.calls.keep()
        self.journal.close()
        if self.threads is not None:
            self.threads.shutdown(cancel_futures=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def reset(self) -> None:
        """Forget everything: files, jobs, faults, books, revoked keys and advanced time."""
        self.journal.close()
        (self.state_dir / "journal.jsonl").unlink()
        for folder in ("jobs", "files", "uploads"):
            shutil.rmtree(self.state_dir / folder)
        self._open()

    def place(self, number: int, suffix: str) -> Path:
        """Say where a job's input (`in`) or rows (`rows`) lie."""
        return self._jobs_folder / f"{number}.{suffix}"

    # Who asks

    def project_of(self, key: str | None) -> str:
        """Find the project of an API key, or refuse the key. Any key is its own project unless
        keys were listed.
        """
        unknowns = self.settings.unknowns
        if not key:
            raise no_key(unknowns.no_key_status)
        if digest(key) in self.revoked:
            raise bad_key(unknowns.revoked_key_status)
        if not self.settings.api_keys:
            return f"project-{digest(key)}"
        project = self.settings.api_keys.get(key)
        if project is None:
            raise bad_key()
        return project

    def revoke(self, key: str) -> None:
        """Refuse a key from now on."""
        self.revoked.add(digest(key))
        self.journal.write("revoked", digest(key), True)  # noqa: FBT003 - the record is the word itself

    def restore(self, key: str) -> None:
        """Accept a key again."""
        self.revoked.discard(digest(key))
        self.journal.write("revoked", digest(key), False)  # noqa: FBT003 - the record is the word itself

    # Jobs

    async def settle(self) -> None:
        """Do whatever is due: late creates at their time, then every job's steps."""
        now = self.clock.wall()
        for index, late in enumerate(self.late):
            if not late.done and late.due <= now:
                late.done = True
                self.journal.write("late", str(index), late)
                asked = Asked(
                    project=late.project,
                    version=late.version,
                    kind=late.kind,
                    model=late.model,
                    body=late.body.encode(),
                )
                self.jobs.settle()
                try:
                    await self._creator.create(asked, late.fired, late.due)
                except Refusal as refusal:
                    self.calls.late_refusals.append(refusal.message)
        self.jobs.settle()

    def has_listeners(self) -> bool:
        """Say whether the end of any job may have to be told to somebody."""
        known = self.webhooks.webhooks or self.deliveries.deliveries
        return bool(known) or any(job.uris for job in self.jobs.active.values())

    def _input_is_there(self, job: Job, wall: int) -> bool:
        return job.input_file is None or self.files.was_there(job.input_file, wall)

    async def create(self, asked: Asked, fired: list[Fault]) -> dict[str, Any]:
        """Execute a create, which takes its time, and write its answer."""
        low, high = span(self.settings.create_seconds)
        if high > 0:
            number = self.jobs.next_number()
            await asyncio.sleep(self.dice.between(low, high, "create", number))
        jobs = await self._creator.create(asked, fired)
        return self.show(jobs[0], listed=False)

    def create_late(self, asked: Asked, fired: list[Fault], seconds: float) -> None:
        """Keep a create for later."""
        late = Late(
            due=self.clock.wall() + round(seconds * NS),
            project=asked.project,
            version=asked.version,
            kind=asked.kind,
            model=asked.model,
            body=asked.body.decode("utf-8", "replace"),
            fired=fired,
        )
        self.late.append(late)
        self.journal.write("late", str(len(self.late) - 1), late)

    def show(self, job: Job, *, listed: bool) -> dict[str, Any]:
        """Write a job as get (or, `listed`, as list) answers it."""
        unknowns = self.settings.unknowns
        output = self._output(job, listed=listed)
        batch = metadata(
            job,
            stale=listed and unknowns.stale_list_stats,
            output=output,
            progress=self.jobs.progress(job, self.clock.age()),
            unknowns=unknowns,
        )
        return operation(job, batch, output, unknowns)

    def _output(self, job: Job, *, listed: bool) -> dict[str, Any] | None:
        if not self.output_is_there(job):
            return None
        if job.input_file is not None:
            return {"responsesFile": f"files/batch-{job.id}"}
        return None if listed else inlined(self._inline_items(job))

    def _inline_items(self, job: Job) -> list[dict[str, Any]]:
        results = self.results(job)
        try:
            return [
                item.content | ({"metadata": item.metadata} if item.metadata is not None else {})
                for item in results.items()
            ]
        finally:
            results.close()

    def output_is_there(self, job: Job) -> bool:
        """Say whether a job's answers can be fetched now."""
        if job.is_active or job.output_deleted or job.ended is None or job.ended_age is None:
            return False
        if not self.jobs.has_passed(job.ended, job.fate.output_after):
            return False
        if self.jobs.has_passed(job.ended, self.settings.result_expiry_seconds):
            return False
        return job.state == SUCCEEDED or job.served > 0

    def results(self, job: Job) -> Results:
        """Open a job's answers."""
        return Results(
            self.settings,
            self.dice,
            job,
            self.place(job.number, "in"),
            self.place(job.number, "rows"),
        )

    def download(self, job: Job) -> Iterator[bytes]:
        """Yield a job's output file in pieces."""
        results = self.results(job)
        salt = 0
        if not self.settings.unknowns.output_bytes_stable:
            self._downloads += 1
            salt = self._downloads
        try:
            yield from results.blocks(salt)
        finally:
            results.close()

    # Time

    def hurry(self, speed: float) -> None:
        """Let jobs age at another speed from now on."""
        self.clock.hurry(speed)
        self._keep_clock()

    def advance(self, seconds: float) -> None:
        """Jump forward in time."""
        self.clock.advance(seconds)
        self._keep_clock()

    def _resume_clock(self) -> None:
        for _, raw in self.journal.records("clock"):
            offset, legs = msgspec.json.decode(raw, type=tuple[int, list[Leg]])
            self.clock.resume(offset, legs)
        self._keep_clock()

    def _keep_clock(self) -> None:
        self.journal.write("clock", "", (self.clock.offset, self.clock.legs))


def digest(key: str) -> str:
    """Shorten a key to what may be shown and kept: somebody may use a real one."""
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _locked(folder: Path) -> int:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise RuntimeError(
            f"{folder}: another emulator uses this state directory; stop it or choose another one"
        ) from error
    return fd
