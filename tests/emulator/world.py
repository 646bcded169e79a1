"""An emulator on a real socket, a wall clock that only moves by hand, and a plain client."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from orchestrator.emulator import Emulator, EmulatorSettings, Fault
from orchestrator.emulator.serving import listening

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
FLASH = "/v1beta/models/gemini-2.5-flash:batchGenerateContent"
EMBEDDING = "/v1beta/models/gemini-embedding-001:asyncBatchEmbedContent"
GRANULARITY = 1024
SETTINGS = EmulatorSettings(
    pending_seconds=60, running_seconds=120, cancel_seconds=5, upload_granularity=GRANULARITY
)


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The text of a refusal."""
        return str(self.json["error"]["message"])


@dataclass
class World:
    """What a test plays with."""

    emulator: Emulator
    base: str
    session: ClientSession

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = "one",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request; a body that is not bytes goes as JSON."""
        sent = {"x-goog-api-key": key} if key else {}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sends = None if data is None else BytesIO(data)
        url = path if path.startswith("http") else self.base + path
        async with self.session.request(
            method, url, data=sends, headers=sent | (headers or {}), allow_redirects=False
        ) as answer:
            lower = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status, lower, await answer.read())

    async def start(self, size: int | None = None, **file: str) -> Answer:
        """Start an upload."""
        headers = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
        headers["X-Goog-Upload-Header-Content-Type"] = "application/jsonl"
        if size is not None:
            headers["X-Goog-Upload-Header-Content-Length"] = str(size)
        return await self.call("POST", "/upload/v1beta/files", {"file": file}, headers=headers)

    async def chunk(
        self, url: str, command: str, offset: int | None = None, data: bytes = b""
    ) -> Answer:
        """Send one call of an upload session, without a key."""
        headers = {"X-Goog-Upload-Command": command}
        if offset is not None:
            headers["X-Goog-Upload-Offset"] = str(offset)
        return await self.call("POST", url, data, key=None, headers=headers)

    async def upload(self, data: bytes, **file: str) -> dict[str, Any]:
        """Upload a whole file."""
        started = await self.start(len(data), **file)
        assert started.status == 200, started.body
        url = started.headers["x-goog-upload-url"]
        done = await self.chunk(url, "upload, finalize", 0, data)
        assert done.status == 200, done.body
        uploaded: dict[str, Any] = done.json["file"]
        return uploaded

    async def create(self, lines: list[Any], name: str = "test", path: str = FLASH) -> str:
        """Upload lines and create a job of them; its name."""
        file = await self.upload(jsonl(lines))
        return await self.create_of(file["name"], name, path)

    async def create_of(self, file: str, name: str = "test", path: str = FLASH) -> str:
        """Create a job of an uploaded file; its name."""
        batch = {"batch": {"displayName": name, "inputConfig": {"fileName": file}}}
        answer = await self.call("POST", path, batch)
        assert answer.status == 200, answer.body
        return str(answer.json["name"])

    async def get(self, job: str, key: str = "one") -> Any:
        """Look at a job."""
        answer = await self.call("GET", f"/v1beta/{job}", key=key)
        assert answer.status == 200, answer.body
        return answer.json

    async def state(self, job: str) -> str:
        """Look at a job's state."""
        return str((await self.get(job))["metadata"]["state"]).removeprefix("BATCH_STATE_")

    async def results(self, job: str) -> list[Any]:
        """Wait for a job to end, and read its output file's lines."""
        return [json.loads(line) for line in (await self.output(job)).split(b"\n") if line]

    async def output(self, job: str) -> bytes:
        """Wait for a job to end, and download its output file."""
        self.emulator.advance(3600)
        ended = await self.get(job)
        file = ended["response"]["responsesFile"]
        answer = await self.call("GET", f"/download/v1beta/{file}:download?alt=media")
        assert answer.status == 200, answer.body
        return answer.body

    def spoil(self, do: str, **given: Any) -> None:
        """Add a fault."""
        self.emulator.faults.add([Fault(do=do, **given)])


@asynccontextmanager
async def world(folder: Path, settings: EmulatorSettings = SETTINGS) -> AsyncIterator[World]:
    """Run an emulator for the length of a block."""
    emulator = Emulator(settings, clock=lambda: NOON, state_dir=folder)
    try:
        async with listening(emulator) as base, ClientSession() as session:
            yield World(emulator, base, session)
    finally:
        emulator.close()


def unknown(**answers: Any) -> EmulatorSettings:
    """Settings that answer some of the open questions otherwise."""
    return replace(SETTINGS, unknowns=replace(SETTINGS.unknowns, **answers))


def prompt(text: str, **more: Any) -> dict[str, Any]:
    """Make a generate request."""
    return {"contents": [{"parts": [{"text": text}], "role": "user"}], **more}


def line(key: str | None, text: str = "hello", **more: Any) -> dict[str, Any]:
    """Make an input line."""
    request = {"request": prompt(text, **more)}
    return request if key is None else {"key": key, **request}


def jsonl(lines: list[Any]) -> bytes:
    """Write lines, given as bytes or as JSON."""
    written = (item if isinstance(item, bytes) else json.dumps(item).encode() for item in lines)
    return b"".join(item + b"\n" for item in written)


def inline(*requests: Any, name: str | None = None) -> dict[str, Any]:
    """Make the body of an inline create."""
    batch: dict[str, Any] = {"inputConfig": {"requests": {"requests": list(requests)}}}
    return {"batch": batch if name is None else {"displayName": name, **batch}}
