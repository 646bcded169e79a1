"""What is due and waits for a place, asked of the ledger when the answer may have changed."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from orchestrator.domain.admission import Candidate
from orchestrator.store import queue
from orchestrator.store.journal import Journal


async def waiting(journal: Journal, now: datetime) -> Sequence[Candidate]:
    """Return what waits now.

    That changes with the ledger and when the time of a batch comes, so it is asked as of the last
    such time: between two of them the question is the same, and is answered from memory.
    """
    times = await journal.read(queue.due_times)
    due = bisect_right(times, now)
    return await journal.read(queue.waiting, times[due - 1]) if due else []
