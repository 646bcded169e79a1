"""What tests of the spool stand on: folders, a clock that is moved by hand, drops."""

import asyncio
from datetime import UTC, datetime, timedelta

from orchestrator.ports import IndexOrder
from orchestrator.spool.inbox import FolderInbox
from orchestrator.spool.index import Indexing
from orchestrator.spool.pool import Inline

LINE = '{"key":"%s","request":{"contents":[{"parts":[{"text":"%s"}]}]}}'


class HandClock:
    """Time passes only when somebody sleeps or says so."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def elapsed(self):
        return self.seconds

    async def sleep(self, duration):
        self.seconds += duration.total_seconds()
        await asyncio.sleep(0)


class World:
    """An inbox and a work folder, with the classes that serve them."""

    def __init__(self, root, profiles=()):
        self.inbox_path = root / "inbox"
        self.work = root / "work"
        self.inbox_path.mkdir(parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        self.clock = HandClock()
        self.profiles = profiles
        self.restart()

    def restart(self):
        self.inbox = FolderInbox(
            self.inbox_path,
            self.work,
            Inline(),
            self.clock,
            settle=timedelta(seconds=2),
            profiles=self.profiles,
            watch=False,
        )
        self.indexing = Indexing(self.work, Inline(), parallel=1)

    def drop(self, name, data):
        path = self.inbox_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    async def settled(self):
        """Look, wait, look again."""
        await self.inbox.scan()
        self.clock.seconds += 2
        return await self.inbox.scan()

    async def claim(self, drop):
        """Claim one drop."""
        return await self.inbox.claim(drop)

    async def claims(self):
        """Return what lies in work."""
        return list(await self.inbox.claims())

    async def take(self):
        """Claim whatever is complete."""
        return [await self.claim(drop) for drop in await self.settled()]


def order(**changes):
    given = {
        "kind": "generate",
        "model": "gemini-x",
        "defaults": None,
        "unique_keys": True,
        "line_bytes_max": 20_000_000,
        "flaws_kept_max": 1000,
        "shape": "off",
    }
    return IndexOrder(**{**given, **changes})


def lines(*keys):
    return "".join(LINE % (key, f"text of {key}") + "\n" for key in keys)
