"""journaled notices → whoever asked to be told, at least once each."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.policy import RetryPolicy, backoff
from orchestrator.ports import Clock, Ids, Notifier, Unavailable
from orchestrator.store import notices
from orchestrator.store.journal import Journal
from orchestrator.store.notices import Notice

AT_ONCE_MAX = 20


@dataclass(frozen=True, slots=True)
class Notify:
    """Sends what is due; what fails is sent again, ever more slowly, and never dropped."""

    journal: Journal
    notifier: Notifier
    clock: Clock
    ids: Ids
    retry: RetryPolicy

    async def find(self) -> Sequence[Notice]:
        """Return the notices that are due."""
        return await self.journal.read(notices.due, self.clock.now(), AT_ONCE_MAX)

    def name(self, item: Notice) -> str:
        """Return what tells one item from another while it is worked on."""
        return str(item.id)

    async def do(self, item: Notice) -> None:
        """Send one notice and record that it was taken."""
        try:
            await self.notifier.send(item.id, item.kind, item.body)
        except Unavailable as error:
            wait = backoff(self.retry, item.tries + 1, self.ids.jitter())
            again = self.clock.now() + wait
            await self.journal.write(notices.postpone, item.id, again, str(error))
        else:
            await self.journal.write(notices.done, item.id, self.clock.now())
