"""The one state in which nothing new starts: the key is refused, or the credit is used up.

It ends by itself: after a growing wait one more try is let through, and a call that is served
again opens the gate, as does the end of all that would make such a call. It is in the ledger, so
that a restart shows it, too.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from orchestrator.domain.ids import ProjectName
from orchestrator.domain.moments import written
from orchestrator.domain.policy import RetryPolicy, backoff
from orchestrator.ports import Blocked, Clock
from orchestrator.store import batches, notices, projects, queue
from orchestrator.store.database import Tx
from orchestrator.store.journal import Journal

log = structlog.get_logger()
FAR = timedelta(days=2)  # nothing waits for longer than a day to be sent again


@dataclass(frozen=True, slots=True)
class _Block:
    call: str
    error: Blocked
    times: int
    until: float


@dataclass(slots=True)
class Gate:
    """Holds back the submissions of one project while it is blocked."""

    name: ProjectName
    journal: Journal
    clock: Clock
    retry: RetryPolicy
    _block: _Block | None = None

    async def load(self) -> None:
        """Take over what an earlier life was blocked by; one try is let through at once."""
        block = await self.journal.read(projects.blocked, self.name)
        if block is not None:
            error = Blocked(block.why, block.remedy)
            self._block = _Block("any", error, 0, self.clock.elapsed())

    def obstacle(self) -> str | None:
        """Tell why nothing may start now, None if it may (or if it is time for one more try)."""
        if self._block is not None and self.clock.elapsed() < self._block.until:
            return f"blocked: {self._block.error}"
        return None

    async def close(self, blocked: Blocked, call: str) -> None:
        """Stop submissions, for longer each time; tell the operator what is new."""
        before = self._block
        times = before.times + 1 if before is not None else 1
        wait = backoff(self.retry, times, 0.5).total_seconds()
        self._block = _Block(call, blocked, times, self.clock.elapsed() + wait)
        if before is not None and before.error.why == blocked.why:
            return
        now = self.clock.now()
        body = {"event": "blocked", "at": written(now), "project": self.name}
        body |= {"why": blocked.why, "remedy": blocked.remedy}

        def journal(tx: Tx) -> None:
            projects.block(tx, now, self.name, blocked.why, blocked.remedy)
            notices.enqueue(tx, now, "blocked", None, json.dumps(body))

        await self.journal.write(journal)
        log.error("project.blocked", project=self.name, why=blocked.why, remedy=blocked.remedy)

    async def accepted(self, call: str) -> None:
        """Open again when the call that was refused is served, or a create.

        A key that was refused at anything but a create is well again as soon as it serves at all.
        """
        block = self._block
        if block is None:
            return
        key_serves = block.error.about_key and block.call != "create"
        if block.call in ("any", call) or call == "create" or key_serves:
            await self._open()

    async def forget(self) -> None:
        """Open again when the wait is over and nothing is left that would be refused again."""
        if self._block is not None and self.obstacle() is None:
            call = self._block.call
            if not await self.journal.read(_is_left, call, self.clock.now() + FAR):
                await self._open()

    async def _open(self) -> None:
        self._block = None
        await self.journal.write(projects.unblock, self.name)
        log.info("project.unblocked", project=self.name)


def _is_left(tx: Tx, call: str, far: datetime) -> bool:
    """Tell whether anything is there that makes this call sooner or later."""
    match call:
        case "create" | "upload":
            return bool(queue.waiting(tx, far))
        case "read":
            return bool(batches.in_state(tx, "ended"))
        case "cancel":
            return bool(batches.in_state(tx, "submitted"))
        case _:  # the list is always read
            return True
