"""What is due and waits for a place, asked of the ledger when the answer may have changed."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.domain.admission import Candidate
from orchestrator.store import queue
from orchestrator.store.journal import Journal

WAIT_MAX = timedelta(hours=25)  # the service is believed that it needs a day, and not more


async def waiting(journal: Journal, now: datetime) -> Sequence[Candidate]:
    """Return what waits now.

    That changes with the ledger and when the time of a batch comes, so it is asked as of the last
    such time: between two of them the question is the same, and is answered from memory.
    """
    times = await journal.read(queue.due_times)
    if times and times[-1] > now + WAIT_MAX:
        return await _since_the_clock_was_set_back(journal, now, times[-1])
    due = bisect_right(times, now)
    return await journal.read(queue.waiting, times[due - 1]) if due else []


async def _since_the_clock_was_set_back(
    journal: Journal, now: datetime, last: datetime
) -> Sequence[Candidate]:
    """Take what would wait for longer than anything does for due: that time is a wrong clock's."""
    found = await journal.read(queue.waiting, last)
    return [one for one in found if not now < one.batch.not_before <= now + WAIT_MAX]
