"""The watched folder: what lies in it is found by looking, and taken when it is complete.

Complete is what nobody has open for writing and what has not changed, in inode, size and times,
for `settle_seconds`. A watcher (inotify) only rings early: it may be absent, overflow or miss.

Trouble: hostile names and things that are no files are claimed unopened and carry their trouble.
An error of the disk, or too many open files, is raised: the caller tries again later.
"""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np

from orchestrator.ports import Claim, Clock, Drop
from orchestrator.spool import atomic, flush, source, together
from orchestrator.spool.claim import (
    REMOVING,
    Wanted,
    drop_unborn,
    has_drop,
    secure,
    take,
)
from orchestrator.spool.drops import ENTRIES_AT_ONCE, look
from orchestrator.spool.freeze import writers
from orchestrator.spool.meta import as_claim, load_meta
from orchestrator.spool.pool import call
from orchestrator.spool.watch import ring

COMPLETE_MAX = 2000
LONG_LOOK = 0.1  # seconds; after such a look the next one waits
LOOK_SHARE = 9  # so many times as long as it took
PATIENCE = 30  # times settle_seconds, before a folder without requests is refused
WRITER_TRIES = 5


@dataclass(slots=True)
class _Seen:
    wanted: Wanted
    signature: tuple[object, ...]
    since: float
    complete: bool = False  # found so once, and not changed since


class FolderInbox:
    """`ports.Inbox` over a folder; `work` should lie on the same file system.

    `profiles` name the hot folders. With `watch` False only the clock wakes.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing it stands on
        self,
        inbox: Path,
        work: Path,
        workers: Executor,
        clock: Clock,
        *,
        settle: timedelta,
        profiles: Collection[str] = (),
        watch: bool = True,
        interval: timedelta = timedelta(seconds=2),
    ) -> None:
        self._inbox = inbox
        self._work = work
        self._workers = workers
        self._clock = clock
        self._settle = settle.total_seconds()
        self._profiles = frozenset(profiles)
        self._watch = watch
        self._interval = interval
        self._device = work.stat().st_dev
        self._seen: dict[bytes, _Seen] = {}  # the oldest first
        self._alone: set[bytes] = set()  # those that cannot be claimed together with others
        self._settled = False  # whether the names that earlier lives gave are durable
        self._next_look = 0.0
        self._claims: dict[str, tuple[tuple[int, int], Claim]] = {}

    async def scan(self) -> Sequence[Drop]:
        """Return what is complete, oldest first, at most `COMPLETE_MAX`.

        Where so much lies that a look takes long, what the last look saw is told for a while.
        """
        now = self._clock.elapsed()
        if now >= self._next_look or not self._seen:
            await self._look(now)
        complete = []
        for count, each in enumerate(tuple(self._seen.values())):
            each.complete = each.complete or self._is_complete(each, now)
            if each.complete:
                complete.append(self._drop(each.wanted))
            if len(complete) == COMPLETE_MAX:
                break
            if count % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1:
                await asyncio.sleep(0)
        return complete

    async def _look(self, now: float) -> None:
        """See what lies there, and since when it has not changed."""
        seen: list[_Seen] = []
        for count, found in enumerate(look(self._inbox, self._profiles)):
            if found is not None:
                wanted, signature = found
                last = self._seen.get(wanted.raw)
                if last is not None and last.signature == signature:
                    seen.append(_Seen(wanted, signature, last.since, last.complete))
                else:
                    seen.append(_Seen(wanted, signature, now))
            if found is None or count % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1:
                await asyncio.sleep(0)
        times = np.fromiter((each.wanted.facts.st_mtime_ns for each in seen), np.int64, len(seen))
        oldest_first = (seen[place] for place in np.argsort(times, kind="stable").tolist())
        self._seen = {each.wanted.raw: each for each in oldest_first}
        self._alone &= self._seen.keys()
        ended = self._clock.elapsed()
        self._next_look = ended + LOOK_SHARE * (ended - now) if ended - now > LONG_LOOK else ended

    def _drop(self, wanted: Wanted) -> Drop:
        small = wanted.raw not in self._alone and together.is_small(wanted, self._device)
        return Drop(wanted.name, wanted.profile, wanted.raw, small)

    async def claim(self, drop: Drop) -> Claim | None:
        """Make a drop ours, durably; None if it went away or is not complete after all."""
        seen = self._seen.get(drop.raw)
        if seen is None:
            return None
        folder = await call(self._workers, take, self._inbox, self._work, seen.wanted)
        self._seen.pop(drop.raw, None)
        return None if folder is None else await self._finish(folder)

    async def claim_together(self, drops: Sequence[Drop]) -> Sequence[Claim]:
        """Make small drops ours, durably; those that went away are left out.

        Those that are not finished so lie in `work/`: `claims` finishes them.
        """
        seen = [self._seen.pop(drop.raw, None) for drop in drops]
        wanted = [each.wanted for each in seen if each is not None]
        taken = await call(self._workers, together.take, self._inbox, self._work, wanted)
        self._alone.update(taken.begun_before)
        return taken.claims

    async def claims(self, besides: Collection[str] = ()) -> Sequence[Claim]:
        """Return the claims that lie in `work/`; those that a crash cut short are finished.

        `besides` are folders whose claims nobody has to see.
        """
        found = []
        names = sorted(set(await call(self._workers, os.listdir, self._work)) - set(besides))
        for count, entry in enumerate(names):
            claim = await self._known(entry)
            if claim is not None:
                found.append(claim)
            if count % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._claims = {name: self._claims[name] for name in names if name in self._claims}
        return found

    async def wake(self) -> AsyncIterator[None]:
        """Yield whenever a scan may find something new."""
        if not self._watch:
            while True:
                yield
                await self._clock.sleep(self._interval)
        folders = [self._inbox, *(self._inbox / name for name in self._profiles)]
        async for _ in ring(folders, self._interval):
            yield

    def _is_complete(self, seen: _Seen, now: float) -> bool:
        wanted = seen.wanted
        age = now - seen.since
        if wanted.trouble is not None and not stat.S_ISREG(wanted.facts.st_mode):
            patience = PATIENCE if stat.S_ISDIR(wanted.facts.st_mode) else 0
            return age >= patience * self._settle
        return age >= self._settle and not self._is_written(wanted)

    def _is_written(self, wanted: Wanted) -> bool:
        inner = wanted.raw + b"/" + wanted.inner if wanted.inner else wanted.raw
        folder = atomic.open_folder(self._inbox)
        try:
            file = atomic.open_beneath(folder, inner)
        except OSError:
            return False  # the claim finds out what it is, and says so
        finally:
            os.close(folder)
        try:
            return stat.S_ISREG(os.fstat(file).st_mode) and writers(file) == "some"
        finally:
            os.close(file)

    # ---- claiming -------------------------------------------------------------------------------

    async def _finish(self, name: str) -> Claim | None:
        if not self._settled:  # what an earlier life moved may have its old name only on the disk
            await call(self._workers, flush.everything, self._work)
            self._settled = True
        for attempt in range(WRITER_TRIES):
            patient = attempt < WRITER_TRIES - 1
            meta = await call(self._workers, secure, self._inbox, self._work, name, patient=patient)
            if meta is not None:
                return as_claim(self._work / name, meta)
            await self._clock.sleep(timedelta(seconds=self._settle))
        raise AssertionError("the last attempt is not patient")

    async def _known(self, name: str) -> Claim | None:
        folder = self._work / name
        if name.startswith(REMOVING):
            await call(self._workers, atomic.remove_tree, folder)
            return None
        try:
            facts = (folder / source.META).stat()
        except NotADirectoryError:
            return None
        except FileNotFoundError:
            await call(self._workers, drop_unborn, folder)
            return None
        stamp = facts.st_mtime_ns, facts.st_ino
        known = self._claims.get(name)
        if known is None or known[0] != stamp:
            claim = await self._recover(folder)
            if claim is None:
                return None
            known = stamp, claim
            self._claims[name] = known
        return known[1]

    async def _recover(self, folder: Path) -> Claim | None:
        meta = load_meta(folder)
        assert meta is not None
        if meta.claimed:
            return as_claim(folder, meta)
        if not has_drop(folder):
            # Its drop was never moved: it lies in the inbox still, and is claimed anew.
            await call(self._workers, atomic.remove_tree, folder)
            return None
        return await self._finish(folder.name)
