"""Takes the bytes of an upload: to the part file at once, and through SHA-256 behind it, keeping
what is committed when a connection is cut.

Hashing is what an upload waits for. It reads the part file, never the network's pieces, so that it
may lag as far as it likes at no cost of memory. It is done in place, so that nothing depends on
threads; with `hash_in_thread` (which the command sets) big uploads are hashed beside the event
loop instead, and only the answer that bears the digest waits for it.
"""

import asyncio
import hashlib
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from aiohttp import web

from orchestrator.emulator import faults
from orchestrator.emulator.context import Context
from orchestrator.emulator.file import Session

STEP_BYTES = 1 << 18
RUN_BYTES = 2 << 20
RUNS_MAX = 4


class Follower:
    """The SHA-256 of a part file, some way behind the bytes that are committed to it.

    A follower is of no use any more when the part was cut back: a new one starts over.
    """

    def __init__(self, part: Path, threads: ThreadPoolExecutor | None) -> None:
        self._part = part
        self._threads = threads
        self._digest = hashlib.sha256()
        self._at = 0
        self._runs: deque[Future[None]] = deque()

    async def follow(self, committed: int) -> None:
        """Hash up to about `committed` bytes of the part. Waits when the thread has fallen far
        behind: then it needs the processor more than the network does.
        """
        while committed - self._at >= RUN_BYTES:
            await self._run(RUN_BYTES)

    async def hexdigest(self, size: int) -> str:
        """Say the digest of all `size` bytes."""
        await self.follow(size)
        while self._runs:
            await asyncio.wrap_future(self._runs.popleft())
        self._take(self._at, size - self._at)
        self._at = size
        return self._digest.hexdigest()

    async def _run(self, size: int) -> None:
        at, self._at = self._at, self._at + size
        if self._threads is None:
            self._take(at, size)
            await asyncio.sleep(0)
            return
        self._runs.append(self._threads.submit(self._take, at, size))
        while self._runs[0].done():
            self._runs.popleft().result()
            if not self._runs:
                return
        if len(self._runs) > RUNS_MAX:
            await asyncio.wrap_future(self._runs.popleft())

    def _take(self, at: int, size: int) -> None:
        """Hash a range, in one small buffer that stays in the processor's cache."""
        step = memoryview(bytearray(min(size, STEP_BYTES)))
        fd = os.open(self._part, os.O_RDONLY)
        try:
            while size:
                taken = os.preadv(fd, [step[: min(size, STEP_BYTES)]], at)
                if taken == 0:
                    return
                self._digest.update(step[:taken])
                at, size = at + taken, size - taken
        finally:
            os.close(fd)


def follower(context: Context, session: Session) -> Follower:
    """Follow a session's part file, from its beginning after a cut or a restart."""
    if session.digest is None:
        part = context.emulator.files.part(session)
        session.digest = Follower(part, context.emulator.threads)
    found: Follower = session.digest
    return found


async def receive(context: Context, session: Session) -> bool:
    """Take a call's body; False when it was cut before its end, or taken over by another call."""
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
    turn, digest = session.turn, follower(context, session)
    if not context.request.can_read_body:
        return True  # aiohttp's reader of no body, asked for chunks a second time, never ends
    async for piece, _ in context.request.content.iter_chunks():
        if session.turn != turn:
            return False
        taken = piece if limit is None else piece[: limit - session.received]
        _write(fd, taken)
        session.received += len(taken)
        await digest.follow(session.received)
        if limit is not None and session.received >= limit:
            if context.request.transport is not None:
                context.request.transport.abort()
            return False
    return True


def _write(fd: int, piece: bytes) -> None:
    """Write a whole piece; a full disk is an error, not a shorter file."""
    written = os.write(fd, piece)
    while written < len(piece):
        written += os.write(fd, piece[written:])
