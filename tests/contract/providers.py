"""The implementations of the provider's ports, each with the books of the service behind it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from orchestrator.domain.batches import Part
from orchestrator.domain.jobs import JobSnapshot
from orchestrator.ports import Files, Jobs, StoredFile
from tests.emulator.world import World, jsonl, line, unknown, world
from tests.gemini.values import FILE, LoopClock, MemorySession, Text, client, part

# The answers to what nobody has recorded yet: the ports keep their word under each of them.
SERVICES: Mapping[str, Mapping[str, Any]] = {
    "as recorded": {},
    "no masks, no ranges": {
        "fields_mask": "refused",
        "download_range": False,
        "final_query_body": False,
        "cancel_finished": "ignored",
    },
    "masks ignored, redirects": {
        "fields_mask": "ignored",
        "download_redirect": True,
        "download_length": True,
        "results_in_order": False,
        "batches_order": "shuffled",
        "batches_page_max": 2,
    },
}


@dataclass
class SameClock(LoopClock):
    """A wall clock that agrees with the service's."""

    world: World

    def now(self) -> datetime:
        """Return the service's time."""
        since_1970 = timedelta(microseconds=self.world.emulator.clock.wall() // 1000)
        return datetime(1970, 1, 1, tzinfo=UTC) + since_1970


@dataclass
class Provider:
    """The two ports, and the emulated service that they speak to."""

    jobs: Jobs
    files: Files
    world: World

    async def upload(self, lines: list[Any] | None = None, name: str = FILE) -> StoredFile:
        """Upload an input file."""
        content = jsonl(lines or [line("0"), line("1"), line("2")])
        return await self.files.upload(type(FILE)(name), Text(content), MemorySession())

    async def job(self, batch: Part | None = None) -> JobSnapshot:
        """Upload a file and create its job, and let it be seen."""
        chosen = batch or part()
        file = await self.upload(name=f"files/{chosen.token}")
        created = await self.jobs.create(chosen, file.name, None)
        self.wait(1)
        return created

    async def count(self) -> int:
        """Count the jobs that the service made, by its own list."""
        self.wait(1)
        return len((await self.jobs.scan()).jobs)

    def wait(self, seconds: float = 3600) -> None:
        """Let the service's time pass."""
        self.world.emulator.advance(seconds)


@asynccontextmanager
async def provider(folder: Path, answers: Mapping[str, Any]) -> AsyncIterator[Provider]:
    """Speak over HTTP to an emulated service that answers the open questions so."""
    async with (
        world(folder, unknown(**answers)) as there,
        client(there.base, clock=SameClock(there)) as gemini,
    ):
        yield Provider(gemini.jobs, gemini.files, there)
