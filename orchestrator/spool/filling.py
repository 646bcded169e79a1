"""A file is filled by several workers at once, each writing its stretch; a digest follows them.

The digest is the one thing that has to go from the beginning to the end, and for long lines it
takes longer than the writing. So the writers, who would take the processors from it and wait for
each other at the file, are let only a few stretches ahead of it.

Trouble: the first error of any of them ends all, as it is; what was written is to be thrown away.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestrator.spool import atomic, publish
from orchestrator.spool.calls import Calls
from orchestrator.spool.publish import Published

AHEAD = 4  # stretches that wait for a worker, or for the digest

Write = Callable[[], int]  # writes its stretch; returns how many lines


async def fill(
    calls: Calls,
    target: Path,
    writes: Sequence[Write],
    ends: Sequence[int],
    told: Callable[[int], None],
) -> Published:
    """Do all writes and make the file durable; returns what it is.

    `ends` are the offsets at which the stretches end. `told` hears how many are written and read.
    """
    digest, lines = publish.Digest(target), [0] * len(writes)
    written = [asyncio.Event() for _ in writes]
    ahead = asyncio.Semaphore(calls.parallel + AHEAD)
    waiting = iter(range(len(writes)))

    async def write() -> None:
        for number in waiting:
            await ahead.acquire()
            lines[number] = await calls.one(writes[number])
            written[number].set()

    async def follow() -> None:
        for number, end in enumerate(ends):
            await written[number].wait()
            await calls.beside(digest.reach, end)
            ahead.release()
            told(number + 1)

    async def write_all() -> None:
        async with asyncio.TaskGroup() as writers:
            for _ in range(calls.parallel + 1):
                writers.create_task(write())
        await calls.one(atomic.fsync_path, target)  # while the rest is still read

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            group.create_task(write_all())
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors
    return digest.told(sum(lines))


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
