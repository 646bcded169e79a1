"""A set's mapped index, opened to settle requests, and `errors.jsonl` beside it.

`errors.jsonl` holds the errors that no answers file holds as they are delivered: of our own
making, with a history, or given up. answers.idx points into it under serial 0. Each line names
first, at a fixed width, whence the error comes, so that the same settling again finds it.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain.defaults import default_fragments, filled_bytes, request_lengths
from orchestrator.domain.join import LOW, Answers, Bytes, Record, settle_as_error
from orchestrator.domain.layout import GENERATION_SHIFT, OFFSET_BITS, OFFSET_MASK, Settled
from orchestrator.domain.planning import Int64s
from orchestrator.spool import atomic, source

UInt64s: TypeAlias = NDArray[np.uint64]

ERRORS = "errors.jsonl"
ERRORS_MODE = 0o600
OWN = OFFSET_MASK  # the origin of an error that no batch brought: serial 0, no offset

_ORIGIN = b'{"from":"%016x","error":'
_ORIGIN_BYTES = len(_ORIGIN % 0)
_END = b"}\n"


class _Order(msgspec.Struct):
    defaults: str | None = None


class _Committed(msgspec.Struct):
    order: _Order


class ErrorFiles:
    """Implements `domain.join.Errors` on a set's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, int] = {}

    def read(self, where: int, length: int) -> bytes:
        """Return the JSON that a row of answers.idx points at."""
        serial, offset = where >> OFFSET_BITS, where & OFFSET_MASK
        return os.pread(self._file(serial), length, offset)

    def origin(self, where: int) -> int:
        """Return whence an error comes: what was noted with it, else where it lies itself."""
        serial, offset = where >> OFFSET_BITS, where & OFFSET_MASK
        if serial or offset < _ORIGIN_BYTES:
            return where
        noted = os.pread(self._file(0), _ORIGIN_BYTES, offset - _ORIGIN_BYTES)
        head, _, rest = noted.partition(b'"from":"')
        return int(rest[:16], 16) if head == b"{" and rest[16:] == b'","error":' else where

    def keep(self, records: Sequence[Record]) -> Sequence[tuple[int, int]]:
        """Append errors, durably; returns (where, length) for each."""
        if not records:
            return []
        lines = [_ORIGIN % origin + error + _END for origin, error in records]
        with self._appending() as (file, start):
            atomic.write_all(file, b"".join(lines), self._folder / ERRORS)
            atomic.fsync(file, self._folder / ERRORS)
        ends = np.cumsum([len(line) for line in lines]).tolist()
        return [
            (start + end - len(_END) - len(error), len(error))
            for end, (_, error) in zip(ends, records, strict=True)
        ]

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    @contextmanager
    def _appending(self) -> Iterator[tuple[int, int]]:
        """Open the file at its end, alone: batches of a set may settle at the same time."""
        path = self._folder / ERRORS
        is_new = not path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(path, flags, ERRORS_MODE)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_new:
                atomic.fsync_dir(self._folder)
            end = os.lseek(file, 0, os.SEEK_END)
            if end and os.pread(file, 1, end - 1) != b"\n":  # a torn line of a crashed life
                atomic.write_all(file, b"\n", path)
                end += 1
            yield file, end
        finally:
            os.close(file)

    def _file(self, serial: int) -> int:
        if serial not in self._files:
            path = joined(self._folder)[serial] if serial else self._folder / ERRORS
            self._files[serial] = atomic.open_read(path)
        return self._files[serial]


class IndexFiles:
    """The mapped index of a set, open to be written. Closed as a context; `flush` is durable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # As plain arrays: each slice of a memmap object costs microseconds.
        self.lines = np.asarray(source.open_lines(folder))
        self.states: Bytes = np.asarray(source.open_states(folder, writable=True))
        self.answers: Answers = np.asarray(source.open_answers(folder, writable=True))
        self.errors = ErrorFiles(folder)
        self._added = filled_bytes(read_fragments(folder))

    def request_lengths(self, ordinals: Int64s) -> UInt64s:
        """Return the lengths of composed requests in bytes."""
        return request_lengths(self.lines[ordinals], self._added)

    def open_among(self, ordinals: Int64s) -> Int64s:
        """Return those ordinals that are not settled."""
        settled = self.states[ordinals] & LOW
        found: Int64s = ordinals[(settled == Settled.OPEN) | (settled == Settled.RETRYABLE)]
        return found

    def due_among(self, ordinals: Int64s, generation: int) -> Int64s:
        """Return those that are not settled, and that no later generation has tried."""
        waiting = self.open_among(ordinals)
        return waiting[self.states[waiting] >> GENERATION_SHIFT <= generation]

    def settle(
        self, ordinals: Int64s, error: bytes, origin: int = OWN, tried: int | None = None
    ) -> None:
        """Settle open requests as one error, durably; `tried` is the generation if it counts."""
        settle_as_error(ordinals, error, origin, self)
        self.flush(source.ANSWERS)  # a state vouches for its row: so the row comes first
        high = self.states[ordinals] >> GENERATION_SHIFT if tried is None else tried
        self.states[ordinals] = (high << GENERATION_SHIFT) | Settled.ERROR
        self.flush(source.STATES)

    def give_back(self, ordinals: Int64s, error: bytes, origin: int, tried: int) -> None:
        """Let open requests be tried again after a generation in which they met this error."""
        settle_as_error(ordinals, error, origin, self)
        self.flush(source.ANSWERS)
        self.states[ordinals] = (tried << GENERATION_SHIFT) | Settled.RETRYABLE
        self.flush(source.STATES)

    def flush(self, name: str) -> None:
        """Make what was written to `states.idx` or `answers.idx` durable."""
        source.flush(self.folder, [name])

    def close(self) -> None:
        """Close the files; the mappings go with the object."""
        self.errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def joined(folder: Path) -> dict[int, Path]:
    """Return the answers that answers.idx may point into, by the serial that it knows them by."""
    return {int(path.name[:8]): path for path in (folder / "answers").glob("[0-9]*-*.jsonl")}


def read_fragments(folder: Path) -> tuple[bytes, ...]:
    """Return the default fields that a set was indexed with, as `LINE.flags` counts them."""
    committed = msgspec.json.decode((folder / source.INDEX).read_bytes(), type=_Committed)
    return default_fragments(committed.order.defaults)
