"""Bodies on their way: what is sent, what is kept of an answer, and how long progress may lack.

Trouble: a source that changes is kept as the feed's `trouble` for the caller to raise; an answer
that is larger than it may be raises `TooMuch`, which ends the call.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias

from orchestrator.gemini.service import MEBIBYTE

Decode: TypeAlias = Callable[[bytes], Iterator[bytes]]

PIECE_BYTES = 256 * 1024
UNZIPPED_RATIO_MAX = 100
ZLIB_OR_GZIP = 47  # zlib's wbits for "whichever of the two the header says"


class TooMuch(Exception):
    """An answer that is larger than it may be."""


class WrongSize(Exception):
    """A source gave more or less than it had promised."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the source did not give the {size} bytes that it promised")


class Feed:
    """A request body of exactly `size` bytes; its last piece waits for the source's consent.

    The source checks itself as it is read and may refuse only at its very end. So each piece
    is held back until the next one is there: a changed source leaves the request incomplete,
    which no server can take for a whole one. What went wrong is in `trouble`.
    """

    def __init__(self, pieces: AsyncIterator[bytes], size: int) -> None:
        self.size = size
        self.sent = 0
        self.trouble: Exception | None = None
        self._pieces = pieces

    async def read(self, moved: Callable[[int], None]) -> AsyncIterator[bytes]:
        """Yield the body, telling how many bytes were taken."""
        try:
            async for piece in self._exact():
                yield piece
                self.sent += len(piece)
                moved(len(piece))
        except Exception as error:
            self.trouble = error
            raise

    async def check(self) -> None:
        """Read it all and send nothing. Raises what the source raises, or WrongSize."""
        async for _ in self._exact():
            pass

    async def _exact(self) -> AsyncIterator[bytes]:
        held, length = b"", 0
        async for piece in self._pieces:
            length += len(piece)
            if length > self.size:
                raise WrongSize(self.size)
            if held:
                yield held
            held = piece
        if length != self.size:
            raise WrongSize(self.size)
        if held:
            yield held


class Receiver(Protocol):
    """What becomes of an answer's body, piece by piece. False means: not another byte of it."""

    def start(self, status: int, headers: Mapping[str, str]) -> bool: ...
    def feed(self, piece: bytes) -> bool: ...


class Collect:
    """Keeps a small answer, at most `bytes_max` of it."""

    def __init__(self, bytes_max: int) -> None:
        self.body = bytearray()
        self._bytes_max = bytes_max

    def start(self, status: int, headers: Mapping[str, str]) -> bool:
        """Take any answer."""
        return True

    def feed(self, piece: bytes) -> bool:
        """Keep a piece."""
        if len(self.body) + len(piece) > self._bytes_max:
            raise TooMuch(f"an answer of more than {self._bytes_max} bytes")
        self.body += piece
        return True


class Progress:
    """A deadline that is put off each time enough bytes have moved.

    With `bytes_min` None nothing puts it off.
    """

    def __init__(self, limit: timedelta, bytes_min: int | None) -> None:
        self._limit = limit.total_seconds()
        self._bytes_min = bytes_min
        self._moved = 0
        self.over = False
        self.deadline = asyncio.timeout(self._limit)

    def moved(self, count: int) -> None:
        """Count bytes that moved."""
        if self._bytes_min is None or self.over or self.deadline.expired():
            return
        self._moved += count
        if self._moved >= self._bytes_min:
            self._moved = 0
            self.deadline.reschedule(asyncio.get_running_loop().time() + self._limit)

    def __str__(self) -> str:
        if self._bytes_min is None:
            return f"no end within {self._limit:g} s"
        return f"less than {self._bytes_min} bytes moved within {self._limit:g} s"


def decoder(encoding: str) -> Decode | None:
    """Return how to undo a Content-Encoding; None for one that we cannot bound.

    None was asked for, but a proxy may add gzip.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return iter_once
        case "gzip" | "x-gzip" | "deflate":
            return Unzip().parts
        case _:
            return None


def iter_once(piece: bytes) -> Iterator[bytes]:
    """Yield a piece as it is."""
    yield piece


class Unzip:
    """Inflates in small pieces, and refuses what swells more than text does."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(ZLIB_OR_GZIP)
        self._zipped = 0
        self._plain = 0

    def parts(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece inflates to. Raises TooMuch, also for what is no gzip."""
        self._zipped += len(piece)
        full = True
        while piece or full:
            try:
                part = self._inflate.decompress(piece, PIECE_BYTES)
            except zlib.error:
                part = None
            if part is None:
                raise TooMuch("an answer that is not the gzip it says it is")
            piece = self._inflate.unconsumed_tail
            full = len(part) == PIECE_BYTES
            self._plain += len(part)
            if self._plain > UNZIPPED_RATIO_MAX * self._zipped + MEBIBYTE:
                raise TooMuch("an answer that swells too much")
            if part:
                yield part
