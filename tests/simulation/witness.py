"""Watches every create from within the daemon, and says which row of the outcome table it met."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import FileName
from orchestrator.domain.jobs import JobSnapshot
from orchestrator.gemini.jobs import GeminiJobs
from orchestrator.ports import Blocked, Body, InDoubt, Refused, Trouble, Unavailable

ROWS = (
    "create made",
    "create refused",
    "create overloaded",
    "create not sent",
    "create in doubt, waiting for the answer",
    "create in doubt, reading the answer",
    "create in doubt, without a proper answer",
    "create in doubt, by the service's word",
)


@dataclass
class Witness:
    """The jobs of a provider; `met` is told the row of each create."""

    jobs: GeminiJobs
    met: Callable[[str], None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.jobs, name)

    async def create(
        self, part: Part, file: FileName | None, body: Body | None, *, priority: int | None = None
    ) -> JobSnapshot:
        """Create the job and note what came of it."""
        try:
            made = await self.jobs.create(part, file, body, priority=priority)
        except Trouble as error:
            self.met(row_of(error))
            raise
        self.met("create made")
        return made


def row_of(trouble: Trouble) -> str:
    """Name the row of the table that an unmade create belongs to."""
    match trouble:
        case InDoubt():
            words = str(trouble)
            known = (row for row in ROWS if words.endswith(row.rpartition(", ")[2]))
            return next(known, "create in doubt, by the service's word")
        case Refused():
            return "create refused"
        case Blocked():
            return "create blocked"
        case Unavailable(overloaded=True):
            return "create overloaded"
        case _:
            return "create not sent"
