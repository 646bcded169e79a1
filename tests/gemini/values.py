"""What the tests of the client hand in: a clock, a key, parts, bodies, sinks and sessions."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestrator.domain.batches import Part
from orchestrator.domain.ids import (
    FileName,
    IdempotencyKey,
    InstallId,
    JobName,
    Ordinal,
    ProjectName,
    SetId,
)
from orchestrator.gemini.client import Gemini
from orchestrator.gemini.service import Service
from orchestrator.ports import SourceChanged

KEY = "AIzaSyCANARY_0123456789_abcdefghijklmnop"
INSTALL = InstallId("0123456789abcdef")
TOKEN = IdempotencyKey("orc1-abcde-abcdefghij-1-klmnopqrst")
FILE = FileName(f"files/{TOKEN}")
JOB = JobName("batches/4m855v7q30kc7gtzcigdg9m72o87s08w33vp")


class LoopClock:
    """The loop's own clock, and the wall."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(duration.total_seconds())


class Text:
    """A body; `changes_at` makes its source refuse once so many bytes were given."""

    def __init__(self, content: bytes, changes_at: int | None = None, passes: int = 0) -> None:
        self.content = content
        self.changes_at = changes_at
        self.passes = passes  # how often it can be read before it changes
        self.offsets: list[int] = []

    @property
    def size(self) -> int:
        return len(self.content)

    async def pieces(self, offset: int = 0) -> AsyncIterator[bytes]:
        self.offsets.append(offset)
        changes = self.changes_at if len(self.offsets) > self.passes else None
        for start in range(offset, len(self.content), 1 << 16):
            if changes is not None and start >= changes:
                raise SourceChanged("the block at 0 is not what was read at intake")
            yield self.content[start : start + (1 << 16)]
        if changes is not None:
            raise SourceChanged("the last block is not what was read at intake")

    async def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


class MemorySink:
    """A sink that counts how often it was started anew; it may be full."""

    def __init__(self, content: bytes = b"", room: int | None = None) -> None:
        self._content = bytearray(content)
        self.restarts = 0
        self.room = room

    @property
    def size(self) -> int:
        return len(self._content)

    @property
    def content(self) -> bytes:
        return bytes(self._content)

    def append(self, piece: bytes) -> None:
        if self.room is not None and len(self._content) + len(piece) > self.room:
            raise OSError(28, "No space left on device")
        self._content += piece

    def restart(self) -> None:
        self.restarts += 1
        self._content.clear()


class MemorySession:
    """A journaled upload URL."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url
        self.saved: list[str] = []

    def load(self) -> str | None:
        return self.url

    async def save(self, url: str) -> None:
        self.url = url
        self.saved.append(url)

    def forget(self) -> None:
        self.url = None


def part(**changes: Any) -> Part:
    """Return a small file batch of generate requests."""
    values: dict[str, Any] = {
        "token": TOKEN,
        "request_set": SetId("abcdefghij"),
        "serial": 1,
        "generation": 1,
        "lo": Ordinal(0),
        "hi": Ordinal(3),
        "count": 3,
        "wire_bytes": 300,
        "tokens": 30,
        "ranges": "r",
        "mode": "file",
        "kind": "generate",
        "model": "gemini-2.5-flash",
        "project": ProjectName("default"),
    }
    return Part(**(values | changes))


def client(base_url: str, key: str = KEY, **arguments: Any) -> Gemini:
    """Make a client with short patience; `service` holds further bounds, `clock` is the loop's."""
    service = {
        "base_url": base_url,
        "connect_timeout": timedelta(seconds=5),
        "create_timeout": timedelta(seconds=10),
        "call_timeout": timedelta(seconds=10),
        "stall_timeout": timedelta(seconds=10),
        **arguments.pop("service", {}),
    }
    clock = arguments.pop("clock", None) or LoopClock()
    return Gemini(Service(**service), lambda: key, INSTALL, clock, **arguments)


def operation(state: str = "BATCH_STATE_PENDING", **changes: Any) -> dict[str, Any]:
    """Return an Operation as the service shows it."""
    name = changes.pop("name", JOB)
    metadata = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "model": "models/gemini-2.5-flash",
        "displayName": TOKEN,
        "createTime": "2025-12-10T18:27:01.407650525Z",
        "updateTime": "2025-12-10T18:27:01.407650525Z",
        "batchStats": {"requestCount": "3", "pendingRequestCount": "3"},
        "state": state,
        "name": name,
        **changes.pop("metadata", {}),
    }
    return {"name": name, "metadata": metadata, **changes}


def stored(content: bytes, name: str = FILE, **changes: Any) -> dict[str, Any]:
    """Return a File as the service shows it."""
    import base64

    spelt = base64.b64encode(hashlib.sha256(content).hexdigest().encode()).decode()
    return {
        "name": name,
        "displayName": name.removeprefix("files/"),
        "mimeType": "application/jsonl",
        "sizeBytes": str(len(content)),
        "createTime": "2026-01-24T16:28:16.716173Z",
        "expirationTime": "2026-01-26T16:28:16.072770913Z",
        "sha256Hash": spelt,
        "state": "ACTIVE",
        "source": "UPLOADED",
        **changes,
    }
