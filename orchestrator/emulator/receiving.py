"""Takes the bytes of an upload: to the part file and through SHA-256, keeping what is committed
when a connection is cut.

Hashing is what an upload waits for. It is done in place, so that nothing depends on threads; with
`hash_in_thread` (which the command sets) big uploads are hashed beside the event loop instead.
"""

import asyncio
import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from aiohttp import web

from orchestrator.emulator import faults
from orchestrator.emulator.context import Context
from orchestrator.emulator.file import Session

REHASH_BYTES = 1 << 20
BATCH_BYTES = 4 << 20
BATCHES_MAX = 8
THREAD_BYTES_MIN = 4 << 20


class Hasher(Protocol):
    """Takes bytes in order and says their SHA-256 at the end."""

    async def update(self, piece: bytes) -> None:
        """Take a piece."""

    async def hexdigest(self) -> str:
        """Say the digest of all pieces."""


class InPlace:
    """Hashes where it stands."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    async def update(self, piece: bytes) -> None:
        """Take a piece."""
        self._digest.update(piece)

    async def hexdigest(self) -> str:
        """Say the digest of all pieces."""
        return self._digest.hexdigest()


class Beside:
    """Hashes in one thread of its own, a bounded number of batches behind."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._digest = hashlib.sha256()
        self._batch: list[bytes] = []
        self._size = 0
        self._running: deque[Future[None]] = deque()

    async def update(self, piece: bytes) -> None:
        """Take a piece; waits only when hashing has fallen too far behind."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= BATCH_BYTES:
            self._send()
            await self._keep_up()

    async def hexdigest(self) -> str:
        """Say the digest of all pieces."""
        self._send()
        while self._running:
            await asyncio.wrap_future(self._running.popleft())
        return self._digest.hexdigest()

    async def _keep_up(self) -> None:
        """Forget what is hashed; wait only for what is too far behind, for a wait is dear."""
        while self._running and self._running[0].done():
            self._running.popleft().result()
        while len(self._running) > BATCHES_MAX:
            await asyncio.wrap_future(self._running.popleft())

    def _send(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        if batch:
            self._running.append(self._threads.submit(self._take, batch))

    def _take(self, batch: list[bytes]) -> None:
        for piece in batch:
            self._digest.update(piece)


def hasher(context: Context) -> Hasher:
    """Choose how an upload is hashed."""
    threads = context.emulator.threads
    length = context.request.content_length
    if threads is not None and (length is None or length >= THREAD_BYTES_MIN):
        return Beside(threads)
    return InPlace()


async def receive(context: Context, session: Session) -> bool:
    """Take a call's body; False when it was cut before its end, or taken over by another call."""
    if session.digest is None:
        session.digest = await rehash(context, session)
    cut = faults.of(context.fired, "cut_request")
    limit = session.received + cut.bytes if cut is not None else None
    part = context.emulator.files.part(session)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        return await _copy(context, session, fd, limit)
    except (ConnectionError, web.RequestPayloadError, asyncio.IncompleteReadError):
        return False
    except asyncio.CancelledError:
        context.emulator.files.rewind(session, session.received)
        raise
    finally:
        os.close(fd)


async def _copy(context: Context, session: Session, fd: int, limit: int | None) -> bool:
    turn, digest = session.turn, session.digest
    async for piece, _ in context.request.content.iter_chunks():
        if session.turn != turn:
            return False
        taken = piece if limit is None else piece[: limit - session.received]
        os.write(fd, taken)
        await digest.update(taken)
        session.received += len(taken)
        if limit is not None and session.received >= limit:
            if context.request.transport is not None:
                context.request.transport.abort()
            return False
    return True


async def rehash(context: Context, session: Session) -> Hasher:
    """Hash again what is committed, after a cut or a restart."""
    digest = hasher(context)
    if session.received:
        with context.emulator.files.part(session).open("rb") as held:
            while block := held.read(REHASH_BYTES):
                await digest.update(block)
                await asyncio.sleep(0)
    return digest
