"""Rings when something moves in a folder, and every few seconds whether or not.

Trouble: none that matters. Where inotify cannot be had, or its queue overflows, the timer is left,
and whoever listens looks at the whole folder anyway.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path

from asyncinotify import Inotify, Mask

EVENTS = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.CREATE | Mask.ATTRIB
QUIET_SECONDS = 0.05  # events of one drop come together


async def ring(folders: Sequence[Path], interval: timedelta) -> AsyncIterator[None]:
    """Yield at once, then at each event in one of the folders and after each interval."""
    yield
    inotify = _inotify()
    while inotify is None:
        await asyncio.sleep(interval.total_seconds())
        yield
    with inotify:
        for folder in folders:
            _add(inotify, folder)
        while True:
            try:
                async with asyncio.timeout(interval.total_seconds()):
                    await inotify.get()
                await asyncio.sleep(QUIET_SECONDS)
            except TimeoutError:
                pass
            yield


def _inotify() -> Inotify | None:
    try:
        return Inotify()
    except OSError:
        return None  # the limit of instances is reached: the timer is left


def _add(inotify: Inotify, folder: Path) -> None:
    try:
        inotify.add_watch(folder, EVENTS)
    except OSError:
        return  # the limit of watches, or the folder is not there yet: the timer is left
