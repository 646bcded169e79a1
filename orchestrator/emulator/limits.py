"""The walls of a project: active jobs, enqueued tokens per model, calls per minute."""

from collections import deque

from orchestrator.emulator.clock import NS, EmulatorClock
from orchestrator.emulator.job import CANCELLED, Job
from orchestrator.emulator.jobs import Jobs
from orchestrator.emulator.refusals import over_quota
from orchestrator.emulator.settings import EmulatorSettings

MINUTE = 60 * NS


class Limits:
    """Refuses with 429 what goes over a wall."""

    def __init__(self, settings: EmulatorSettings, clock: EmulatorClock, jobs: Jobs) -> None:
        self._settings = settings
        self._clock = clock
        self._jobs = jobs
        self._calls: dict[tuple[str, str], deque[int]] = {}

    def call(self, project: str, endpoint: str) -> None:
        """Count a call against the calls per minute."""
        quotas = self._settings.quotas
        self._count(project, "call", quotas.requests_per_minute)
        if endpoint == "batches.create":
            self._count(project, "create", quotas.creates_per_minute)

    def check_job(self, project: str, model: str, tokens: int) -> None:
        """Refuse a job that goes over the active jobs or the enqueued tokens of its model."""
        quotas = self._settings.quotas
        active = self.active(project)
        if quotas.active_jobs and len(active) >= quotas.active_jobs:
            raise over_quota(retry_seconds=self._retry())
        wall = self.token_wall(model)
        enqueued = sum(job.tokens for job in active if job.model == model)
        if wall and enqueued + tokens > wall:
            raise over_quota(retry_seconds=self._retry())

    def active(self, project: str) -> list[Job]:
        """List the jobs that count: all that have not ended, and cancelled ones where cancelling
        frees nothing.
        """
        mine = [job for job in self._jobs.active.values() if job.project == project]
        if self._settings.unknowns.cancel_frees_quota:
            return mine
        age = self._clock.age()
        return mine + [
            job
            for job in self._jobs.jobs.values()
            if job.project == project
            and job.state == CANCELLED
            and age < job.age + job.fate.pending + job.fate.running
        ]

    def token_wall(self, model: str) -> int:
        """Say how many tokens of a model may be enqueued; 0 means any number."""
        quotas = self._settings.quotas
        if model in quotas.enqueued_tokens:
            return quotas.enqueued_tokens[model]
        known = self._settings.model(model)
        return known.enqueued_tokens[quotas.tier - 1] if known is not None else 0

    def _count(self, project: str, name: str, wall: int) -> None:
        if not wall:
            return
        now = self._clock.wall()
        calls = self._calls.setdefault((project, name), deque())
        while calls and calls[0] <= now - MINUTE:
            calls.popleft()
        if len(calls) >= wall:
            raise over_quota(retry_seconds=self._retry())
        calls.append(now)

    def _retry(self) -> float | None:
        return 57.238747106 if self._settings.unknowns.retry_info else None
