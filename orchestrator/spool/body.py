"""What a batch sends, composed on the fly from the claimed source; nothing is staged on disk.

Trouble: a source that is not what was read at intake raises `SourceChanged` before any byte of
the block in question is given out.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orchestrator.domain.batches import Part
from orchestrator.domain.compose import compose, frame_of, item_sizes
from orchestrator.domain.defaults import fill, filled_bytes, request_lengths
from orchestrator.domain.layout import DEFAULTS_MASK, SIDE
from orchestrator.domain.planning import Int64s, ordinals_of
from orchestrator.ports import SourceChanged
from orchestrator.spool.index_files import read_fragments
from orchestrator.spool.plan import read_runs
from orchestrator.spool.source import BLOCK_BYTES, Rows, Source, open_lines

PIECE_BYTES_MAX = 1 << 18
AHEAD_BYTES = 1 << 20
CHUNK = 1 << 13  # requests that are measured in one go: well under a millisecond
SPARSE = 4  # rows this much farther apart than they are long are read one by one


class ComposedBody:
    """Implements `ports.Body` on a set's folder."""

    def __init__(self, folder: Path, part: Part, workers: Executor) -> None:
        self._folder = folder
        self._part = part
        self._workers = workers
        self._stream: _Stream | None = None
        self._sha256: str | None = None

    @property
    def size(self) -> int:
        """Return the exact length in bytes."""
        return self._part.wire_bytes

    async def pieces(self, offset: int = 0) -> AsyncIterator[bytes]:
        """Yield the bytes from `offset` on, at most 256 KiB at a time.

        A thread composes about a MiB ahead, no more, so the reader's pace is ours. Who goes on
        where he stopped reading goes on with the same stream; what is read from the first byte
        to the last is digested on the way. Others get their turn between any two pieces: a quick
        peer takes all that it is given, and never makes its sender wait.
        """
        stream = self._stream
        if stream is None or not stream.reaches(offset):
            source = composed(self._folder, self._part, offset)
            stream = self._stream = _Stream(
                source, offset, hashlib.sha256() if not offset else None
            )
            await self._advance(stream)
        while stream.bundle:
            at = stream.at
            for piece in tuple(stream.bundle):
                rest = piece[max(offset - at, 0) :]
                at += len(piece)
                if rest:
                    yield rest
                    await asyncio.sleep(0)
            await self._advance(stream)
        if stream.digest is not None:
            self._sha256 = stream.digest.hexdigest()

    async def _advance(self, stream: "_Stream") -> None:
        try:
            await stream.advance()
        except BaseException:
            self._stream = None  # a thread may still be in it: it is not gone on with
            raise

    async def sha256(self) -> str:
        """Return the digest of all bytes in hex.

        If they were not read as one stream before, a worker composes them for that, once.
        """
        if self._sha256 is None:
            self._sha256 = await asyncio.get_running_loop().run_in_executor(
                self._workers, composed_sha256, self._folder, self._part
            )
        return self._sha256


@dataclass(slots=True)
class _Stream:
    """Pieces on their way: the latest that were composed, where the first of them lies, the next.

    `digest` is of all pieces so far, where they began with the first byte.
    """

    source: Iterator[bytes]
    at: int
    digest: "hashlib._Hash | None"
    bundle: Sequence[bytes] = ()
    ahead: "asyncio.Future[Sequence[bytes]] | None" = None

    def reaches(self, offset: int) -> bool:
        """Tell whether what follows can be read from there."""
        return self.at <= offset <= self.at + sum(map(len, self.bundle))

    async def advance(self) -> None:
        """Go on to the next pieces, and let those behind them be composed meanwhile."""
        ahead = self.ahead or self._begin()
        following = await ahead
        self.at += sum(map(len, self.bundle))
        self.bundle = following
        self.ahead = self._begin() if following else None

    def _begin(self) -> "asyncio.Future[Sequence[bytes]]":
        ahead = asyncio.get_running_loop().run_in_executor(None, _compose_ahead, self)
        ahead.add_done_callback(_heard)
        return ahead


def _heard(ahead: "asyncio.Future[Sequence[bytes]]") -> None:
    """Take note of an error: nobody may ask for these pieces any more."""
    if not ahead.cancelled():
        ahead.exception()


def _compose_ahead(stream: _Stream) -> Sequence[bytes]:
    """Return the next pieces of a stream, none at its end. Runs in a thread."""
    bundle: list[bytes] = []
    size = 0
    for piece in stream.source:
        if stream.digest is not None:
            stream.digest.update(piece)
        if piece:
            bundle.append(piece)
            size += len(piece)
        if size >= AHEAD_BYTES:
            break
    return bundle


def composed_sha256(folder: Path, part: Part) -> str:
    """Compose all that a batch sends and digest it. Runs in a worker."""
    digest = hashlib.sha256()
    for piece in composed(folder, part, 0):
        digest.update(piece)
    return digest.hexdigest()


def sampled(folder: Path, most: int) -> list[bytes]:
    """Return up to `most` requests of a set, spread evenly over it. Runs in a worker.

    Raises SourceChanged.
    """
    lines = open_lines(folder)
    places = np.unique(np.linspace(0, max(len(lines) - 1, 0), most).astype(np.int64))
    chosen = np.asarray(lines[places[: len(lines)]])
    with _opened(folder) as source:
        requests = _Requests(source, read_fragments(folder))
        return [requests.of(chosen[at : at + 1])[0] for at in np.flatnonzero(chosen["length"])]


def composed(folder: Path, part: Part, offset: int) -> Iterator[bytes]:
    """Yield what a batch sends from `offset` on; an empty piece marks a stretch that is skipped."""
    frame = frame_of(part.mode, part.token)
    fragments = read_fragments(folder)
    lines, added = np.asarray(open_lines(folder)), filled_bytes(fragments)
    end_of_items = part.wire_bytes - len(frame.closing) + len(frame.between)
    with _opened(folder) as source:
        requests = _Requests(source, fragments)
        yield from _from(frame.opening, 0, offset)
        at = len(frame.opening)
        for ordinals in ordinals_of(read_runs(folder, part.token), CHUNK):
            rows = lines[ordinals]
            sizes = item_sizes(frame, request_lengths(rows, added), ordinals)
            ends = at + np.cumsum(sizes)
            if ends[-1] <= offset:
                yield b""
            else:
                for begin, end in _bundles(ends, at, offset):
                    item = compose(
                        frame, ordinals[begin:end].tolist(), requests.of(rows[begin:end])
                    )
                    start = int(ends[begin - 1]) if begin else at
                    if int(ends[end - 1]) == end_of_items:
                        item = item[: len(item) - len(frame.between)] + frame.closing
                    yield from _from(item, start, offset)
            at = int(ends[-1])


def _opened(folder: Path) -> Source:
    try:
        return Source(folder)
    except FileNotFoundError as error:
        raise SourceChanged(
            f"{error.filename} is gone; nothing more is sent from it: drop the file again"
        ) from error


def _bundles(ends: Int64s, at: int, offset: int) -> Iterator[tuple[int, int]]:
    """Yield index ranges of requests that make a piece each, beginning where `offset` lies."""
    begin = int(np.searchsorted(ends, offset, side="right"))
    while begin < len(ends):
        start = int(ends[begin - 1]) if begin else at
        end = int(np.searchsorted(ends, start + PIECE_BYTES_MAX, side="right"))
        end = max(end, begin + 1)
        yield begin, end
        begin = end


def _from(item: bytes, start: int, offset: int) -> Iterator[bytes]:
    """Yield of `item`, which begins at `start`, what lies at `offset` or behind it."""
    for begin in range(max(offset - start, 0), len(item), PIECE_BYTES_MAX):
        yield item[begin : begin + PIECE_BYTES_MAX]


class _Requests:
    """Reads requests from verified blocks, the latest of which is held."""

    def __init__(self, source: Source, fragments: tuple[bytes, ...]) -> None:
        self._source = source
        self._fragments = fragments
        self._number = -1
        self._block = b""

    def of(self, rows: Rows) -> list[bytes]:
        """Return the requests of some LINE rows, with their defaults filled in."""
        flags = rows["flags"]
        starts = rows["base"].astype(np.int64) + rows["request"]
        ends = starts + rows["length"]
        in_side = (flags & SIDE) != 0
        spread = int(ends[-1] - starts[0])
        mixed = bool(in_side.any() and not in_side.all())
        if mixed or spread > SPARSE * int(rows["length"].sum()) + PIECE_BYTES_MAX:
            found = [
                self._reader(side)(start, end - start)
                for start, end, side in zip(
                    starts.tolist(), ends.tolist(), in_side.tolist(), strict=True
                )
            ]
        else:
            base = int(starts[0])
            data = self._reader(bool(in_side[0]))(base, spread)
            found = [
                data[start:end]
                for start, end in zip((starts - base).tolist(), (ends - base).tolist(), strict=True)
            ]
        wanted = flags & DEFAULTS_MASK
        if not wanted.any():
            return found
        return [
            fill(request, self._fragments, bits)
            for request, bits in zip(found, wanted.tolist(), strict=True)
        ]

    def _reader(self, in_side: bool) -> Callable[[int, int], bytes]:  # noqa: FBT001 - which file
        return self._source.read_side if in_side else self._read

    def _read(self, start: int, size: int) -> bytes:
        pieces = []
        while True:
            number, begin = divmod(start, BLOCK_BYTES)
            piece = self._verified(number)[begin : begin + size]
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
            if size <= 0 or not piece:
                return piece if len(pieces) == 1 else b"".join(pieces)

    def _verified(self, number: int) -> bytes:
        if number != self._number:
            self._number, self._block = -1, b""  # one block is held at a time, not two
            self._block = self._source.block(number)
            self._number = number
        return self._block
