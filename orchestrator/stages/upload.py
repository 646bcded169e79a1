"""planned → uploaded: the input file is at the provider, whole and verified, before any create.

Uploads are free and repeatable under a chosen name: an orphan costs nothing, and a lost answer is
found again by asking for the name. A name is never used for two contents.

Trouble: a source that changed since intake holds its set; the provider's trouble waits and is
tried again; a key that is refused blocks the project.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator.domain import batches as machine, ids
from orchestrator.domain.admission import admit
from orchestrator.domain.batches import Planned
from orchestrator.domain.ids import IdempotencyKey
from orchestrator.domain.policy import RetryPolicy, backoff
from orchestrator.ports import (
    Blocked,
    Body,
    Clock,
    Files,
    Ids,
    Project,
    Refused,
    SourceChanged,
    StoredFile,
    Unavailable,
    Work,
)
from orchestrator.store import questions, queue, turn
from orchestrator.store.journal import Journal

LIFETIME = timedelta(hours=48)
PROCESSING_WAIT = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class Upload:
    """Brings input files to the provider; `failures` counts them in a row, by token."""

    journal: Journal
    work: Work
    files: Files
    clock: Clock
    ids: Ids
    project: Project
    retry: RetryPolicy
    failures: dict[IdempotencyKey, int] = field(default_factory=dict)

    async def find(self) -> Sequence[Planned]:
        """Return the batches whose file is due, in the order in which they may start."""
        if self.project.obstacle() is not None:
            return []
        waiting = await turn.waiting(self.journal, self.clock.now())
        if not waiting:
            return []
        load = (await self.journal.read(queue.load)).beside(self.project.others())
        limits, token_limit = self.project.limits(), self.project.token_limit
        return [
            batch
            for batch in admit(waiting, load, limits, token_limit).admitted
            if isinstance(batch, Planned) and batch.part.mode == "file"
        ]

    def name(self, item: Planned) -> str:
        """Return what tells one item from another while it is worked on."""
        return item.part.token

    async def do(self, item: Planned) -> None:
        """Upload one input file, or find it there."""
        folder = await self.journal.read(questions.folder, item.part.request_set)
        body = self.work.body(folder, item.part)
        try:
            stored = await self._bring(item, folder, body)
            await self._judge(item, body, stored)
        except SourceChanged as error:
            await self.project.hold(item.part.request_set, f"source_changed: {error}")
        except Blocked as error:
            await self.project.block(error, "upload")
        except Unavailable as error:
            await self._wait(item, str(error), error.retry_after)
        except Refused as error:
            await self._wait(item, str(error), self.retry.backoff_max, item.upload + 1)

    async def _bring(self, item: Planned, folder: str, body: Body) -> StoredFile:
        name = ids.file_name(item.part.token, item.upload)
        found = await self.files.find(name)
        if found is not None:
            return found
        session = self.work.session(folder, item.part, item.upload)
        stored = await self.files.upload(name, body, session)
        session.forget()
        return stored

    async def _judge(self, item: Planned, body: Body, stored: StoredFile) -> None:
        if stored.state == "processing":
            await self._wait(item, "the provider is still processing the file", PROCESSING_WAIT)
            return
        digest = await body.sha256()
        whole = stored.size == body.size and stored.sha256 in (None, digest)
        if stored.state != "active" or not whole:
            await self.files.delete(stored.name)
            why = f"{stored.name} is {stored.state}" if whole else f"{stored.name} is not ours"
            await self._wait(item, why, None, item.upload + 1)
            return
        self.failures.pop(item.part.token, None)
        expires = stored.expires or self.clock.now() + LIFETIME
        await self.journal.record(machine.stow(item, stored.name, expires))
        await self.project.accepted("upload")

    async def _wait(
        self, item: Planned, why: str, least: timedelta | None, upload: int | None = None
    ) -> None:
        failures = self.failures[item.part.token] = self.failures.get(item.part.token, 0) + 1
        wait = backoff(self.retry, failures, self.ids.jitter(), least)
        not_before = self.clock.now() + wait
        await self.journal.record(machine.renew(item, upload or item.upload, not_before, why))
