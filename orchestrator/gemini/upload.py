"""The resumable upload: never from zero while the server holds bytes, never finalized twice.

A session is a URL that the server gives out; it is a capability, so a secret, and journaled before
the first byte. Whatever breaks, the server is asked by `query` how much it has, and sending goes
on from there.

Trouble: a name that is taken by other content is Refused; a source that changes is
`SourceChanged`, with the session cancelled; all else is Unavailable and goes on later.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias, assert_never

import msgspec
from yarl import URL

from orchestrator.domain.ids import FileName
from orchestrator.gemini.bodies import Feed, WrongSize
from orchestrator.gemini.errors import Answer, Failure, call_trouble, is_blocked, refused
from orchestrator.gemini.sessions import (
    Active,
    Finished,
    Over,
    Standing,
    Unknown,
    after_chunk,
    after_query,
    granularity,
)
from orchestrator.gemini.transport import Request, Transport
from orchestrator.ports import Body, Refused, Session, SourceChanged, StoredFile, Unavailable

Find: TypeAlias = Callable[[FileName], Awaitable[StoredFile | None]]
Progressed: TypeAlias = Callable[[FileName, int, int], None]  # name, bytes sent so far, size

CONTENT_TYPE = "application/jsonl"
UPLOAD_URL = "x-goog-upload-url"
SESSIONS_MAX = 2  # in one call: the journaled one or a first, and one more
IDLE_MAX = 1  # one more try at once without progress: a kept connection may have been stale


@dataclass(frozen=True, slots=True)
class Task:
    """One upload in hand. It shows its name only: the URL is a secret."""

    name: FileName
    body: Body
    url: URL

    def __repr__(self) -> str:
        return f"Task({self.name})"


class Upload:
    """Brings content under a chosen name to the provider."""

    def __init__(
        self, transport: Transport, find: Find, progressed: Progressed | None = None
    ) -> None:
        self._transport = transport
        self._service = transport.service
        self._find = find
        self._progressed = progressed or unwatched

    async def upload(self, name: FileName, body: Body, session: Session) -> StoredFile:
        """Upload `body`, going on with the journaled session if there is one."""
        url = self._service.sent_to(session.load() or "")
        for _ in range(SESSIONS_MAX):
            if url is not None:
                task = Task(name, body, url)
                standing: Standing = await self._query(task)
            else:
                begun = await self._start(name, body, session)
                if isinstance(begun, StoredFile):
                    return begun
                task, standing = begun
            try:
                stored = await self._finish(task, standing, session)
            except Refused:
                session.forget()
                raise
            if stored is not None:
                return stored
            url = None
        raise Unavailable("upload: the service drops each session; trying again later")

    async def _finish(self, task: Task, standing: Standing, session: Session) -> StoredFile | None:
        """Send what is missing; None when the session is lost without a trace."""
        over = await self._send_all(task, standing, session)
        if isinstance(over, Finished) and over.file is not None:
            session.forget()
            return over.file
        stored = await self._adoptable(task.name, task.body)
        session.forget()
        if stored is not None:
            return stored
        if isinstance(over, Finished):
            raise Unavailable("upload: finished, but the file is not there; trying again later")
        if over.no is not None:
            raise refused("upload", over.no)
        return None

    async def _send_all(self, task: Task, standing: Standing, session: Session) -> Finished | Over:
        reached, idle = -1, 0
        trouble = Unavailable("upload: no progress; trying again later")
        while True:
            match standing:
                case Active(received=received):
                    idle = idle + 1 if received <= reached else 0
                    reached = max(reached, received)
                    if idle > IDLE_MAX:
                        raise trouble
                    standing = await self._send(task, standing, session)
                case Unknown(trouble=trouble):
                    standing = await self._query(task)
                case Finished() | Over():
                    return standing
                case _:
                    assert_never(standing)

    async def _send(self, task: Task, at: Active, session: Session) -> Standing:
        size = task.body.size
        end = self._chunk_end(at, size)
        feed = Feed(self._part(task, at.received, end), end - at.received)
        finalizing = "finalize" if at.received == size > 0 else "upload, finalize"
        outcome = await self._command(
            task.url,
            finalizing if end == size else "upload",
            {"X-Goog-Upload-Offset": str(at.received)},
            feed,
        )
        if feed.trouble is not None:
            await self._abandon(task, session, feed.trouble)
        standing = after_chunk(outcome, end, size)
        if isinstance(standing, Active) and standing.granularity is None:
            return replace(standing, granularity=at.granularity)
        return standing

    def _chunk_end(self, at: Active, size: int) -> int:
        """Cut at a multiple of the granularity; all the rest when it is unknown or small."""
        longest = self._service.upload_chunk_bytes
        if at.granularity is None or size - at.received <= longest:
            return size
        step = max(longest - longest % at.granularity, at.granularity)
        return min(at.received + step, size)

    async def _part(self, task: Task, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` to `end`, and to the source's very end for the last part."""
        size = task.body.size
        async for piece in task.body.pieces(start):
            part = piece if end == size else piece[: end - start]
            start += len(part)
            yield part
            self._progressed(task.name, start, size)
            if start == end < size:
                return

    async def _query(self, task: Task) -> Active | Finished | Over:
        outcome = await self._command(task.url, "query", {}, None)
        return after_query(outcome, task.body.size)

    async def _abandon(self, task: Task, session: Session, trouble: Exception) -> NoReturn:
        """Let no server finish what was read from a source that changed."""
        if isinstance(trouble, SourceChanged | WrongSize):
            await self._command(task.url, "cancel", {}, None)
            session.forget()
            raise SourceChanged(str(trouble)) from trouble
        raise trouble

    async def _start(
        self, name: FileName, body: Body, session: Session
    ) -> tuple[Task, Active] | StoredFile:
        outcome = await self._transport.call(
            Request(
                name="upload.start",
                method="POST",
                url=self._service.upload_url(),
                limit=self._service.call_timeout,
                headers={
                    "Content-Type": "application/json",
                    "X-Goog-Upload-Protocol": "resumable",
                    "X-Goog-Upload-Command": "start",
                    "X-Goog-Upload-Header-Content-Length": str(body.size),
                    "X-Goog-Upload-Header-Content-Type": CONTENT_TYPE,
                },
                body=_metadata(name),
            )
        )
        if isinstance(outcome, Failure) or not outcome.ok:
            return await self._not_started(name, body, outcome)
        url = self._service.sent_to(outcome.headers.get(UPLOAD_URL, ""))
        if url is None:
            raise Unavailable(
                "upload: the service gave no address of its own; nothing was sent there"
            )
        await session.save(str(url))
        return Task(name, body, url), Active(0, granularity(outcome.headers))

    async def _not_started(
        self, name: FileName, body: Body, outcome: Answer | Failure
    ) -> StoredFile:
        """Adopt what has the name already, if it is the same content."""
        trouble = call_trouble("upload", outcome, names_file=True)
        if isinstance(outcome, Failure) or is_blocked(outcome):
            raise trouble
        if not 400 <= outcome.status < 500 or outcome.status in {408, 429, 499}:
            raise trouble
        stored = await self._adoptable(name, body)
        if stored is not None:
            return stored
        if outcome.status == 403:
            raise call_trouble("upload", outcome)
        raise refused("upload", outcome)

    async def _adoptable(self, name: FileName, body: Body) -> StoredFile | None:
        """Find the file by its chosen name. Raises Refused when it holds something else."""
        stored = await self._find(name)
        if stored is None:
            return None
        if stored.size == body.size and stored.sha256 == await body.sha256():
            return stored
        raise Refused(409, "ALREADY_EXISTS", f"{name} holds other content")

    async def _command(
        self, url: URL, command: str, headers: Mapping[str, str], body: Feed | None
    ) -> Answer | Failure:
        return await self._transport.call(
            Request(
                name=f"upload.{command.removeprefix('upload, ')}",
                method="POST",
                url=url,
                limit=self._service.call_timeout if body is None else self._service.stall_timeout,
                headers={"X-Goog-Upload-Command": command, **headers},
                body=body,
                keyed=False,
                lasting=body is not None,
                secrets=(str(url), *url.query.values()),
            )
        )


def unwatched(name: FileName, sent: int, size: int) -> None:
    """Let progress pass."""


def _metadata(name: FileName) -> bytes:
    file = {"name": name, "displayName": name.removeprefix("files/"), "mimeType": CONTENT_TYPE}
    return msgspec.json.encode({"file": file})
