"""Result lines: each request's answer under the user's own key, in input order.

A stretch of ordinals is measured first, so that several workers can write their stretches of one
file at once, each at its place.

Trouble: an answer that is no longer there, or a request that is still open, ends the delivery.
"""

import gzip
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from zstandard import ZstdCompressor

from orchestrator.domain.batches import Part
from orchestrator.domain.failures import INVALID_ARGUMENT, failure, normalised
from orchestrator.domain.join import LOW
from orchestrator.domain.layout import OFFSET_BITS, OFFSET_MASK, SIDE, Settled
from orchestrator.domain.planning import Int64s, ordinals_of
from orchestrator.spool import atomic, source
from orchestrator.spool.extents import pread_exactly, read_spans
from orchestrator.spool.index_files import ERRORS, answers_path
from orchestrator.spool.plan import read_runs
from orchestrator.spool.publish import Published, digest
from orchestrator.spool.source import Rows, Source

STRETCH = 1 << 16  # requests whose lines one call writes
BUNDLE = 1 << 10  # lines made in one go
GZIP_LEVEL = 6
ZSTD_LEVEL = 3
KEY_GAP_MAX = 1 << 11  # between two keys of the source; wider ones are read one by one
ANSWER_GAP_MAX = 1 << 8  # between two answers: the frame around them

_RESPONSE = b'{"key":%b,"response":%b}\n'
_ERROR = b'{"key":%b,"error":%b}\n'
_RESPONSE_BYTES = len(_RESPONSE) - len(b"%b%b")
_ERROR_BYTES = len(_ERROR) - len(b"%b%b")


_UNKNOWN_FLAW = failure(INVALID_ARGUMENT, "the line is flawed; too many were to say how")
FILES_MAX = 64  # answers files held open at once


class _Flaw(msgspec.Struct):
    line: int
    column: int
    message: str
    ordinal: int
    key: msgspec.Raw = msgspec.Raw()


class WrongResults(RuntimeError):
    """The results are not what they must be: a fault of ours, and nothing is published."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whence results come: the drop's own folder, and the one that holds the answers."""

    keys: Path
    answers: Path


@dataclass(frozen=True, slots=True)
class Stretch:
    """What the result lines of the requests `[lo, hi)` come to."""

    lo: int
    hi: int
    bytes: int
    answered: int
    failed: int


class Results:
    """Makes the result lines of a set, opened for reading. Closed as a context."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._lines = source.open_lines(origin.keys)
        self._states = source.open_states(origin.answers)
        self._answers = source.open_answers(origin.answers)
        self._source = Source(origin.keys)
        self._files: dict[int, int] = {}
        self._flaws: dict[int, tuple[bytes, bytes]] | None = None

    def measure(self, lo: int, hi: int) -> Stretch:
        """Return what the lines of `[lo, hi)` come to, without making those of responses."""
        ordinals = np.arange(lo, hi)
        is_answer = self._settled(ordinals) == Settled.RESPONSE
        good, bad = ordinals[is_answer], ordinals[~is_answer]
        size = int(self._answers["length"][good].sum(dtype=np.int64))
        size += self._key_bytes(good) + _RESPONSE_BYTES * len(good)
        for start in range(0, len(bad), BUNDLE):
            size += sum(map(len, self.lines(bad[start : start + BUNDLE])))
        return Stretch(lo, hi, size, len(good), len(bad))

    def lines(self, ordinals: Int64s) -> list[bytes]:
        """Return the result lines of some requests, in their order."""
        settled = self._settled(ordinals)
        keys = self._keys(self._lines[ordinals], ordinals)
        values = self._values(ordinals[settled != Settled.FLAWED])
        if (settled == Settled.RESPONSE).all():
            return list(map(_RESPONSE.__mod__, zip(keys, values, strict=True)))
        answers = iter(values)
        return [
            self._flawed_line(ordinal, key)
            if state == Settled.FLAWED
            else _line(state, key, next(answers))
            for state, ordinal, key in zip(settled.tolist(), ordinals.tolist(), keys, strict=True)
        ]

    def close(self) -> None:
        """Close the files."""
        self._source.close()
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _settled(self, ordinals: Int64s) -> np.ndarray:
        settled = self._states[ordinals] & LOW
        if np.isin(settled, (Settled.OPEN, Settled.RETRYABLE)).any():
            raise WrongResults(
                f"{self._origin.answers}: requests that are still open were to be delivered; "
                "run `orchestrator fsck`"
            )
        return settled

    def _key_bytes(self, ordinals: Int64s) -> int:
        rows = self._lines[ordinals]
        given = rows["key_length"] > 0
        numbers = (ordinals[~given] + rows["key"][~given]).tolist()
        return int(rows["key_length"].sum(dtype=np.int64)) + sum(
            len(b'"%d"' % number) for number in numbers
        )

    def _keys(self, rows: Rows, ordinals: Int64s) -> list[bytes]:
        """Return the user's keys as JSON, byte for byte; the line's number where there is none."""
        if not (rows["flags"] & SIDE).any() and (rows["key_length"] > 0).all():
            starts = rows["base"].astype(np.int64) + rows["key"]
            return read_spans(
                self._source.read, starts, rows["key_length"].astype(np.int64), KEY_GAP_MAX
            )
        return [
            self._source.key(row, ordinal)
            for row, ordinal in zip(rows, ordinals.tolist(), strict=True)
        ]

    def _values(self, ordinals: Int64s) -> Sequence[bytes]:
        """Return the JSON of each answer or error as it lies there."""
        answers = self._answers[ordinals]
        where, lengths = answers["where"].astype(np.int64), answers["length"].astype(np.int64)
        serials, offsets = where >> OFFSET_BITS, where & OFFSET_MASK
        found: list[bytes] = []
        breaks = (np.flatnonzero(np.diff(serials)) + 1).tolist() if len(serials) else []
        for first, last in pairwise([0, *breaks, len(serials)]):
            if first < last:
                read = partial(pread_exactly, self._file(int(serials[first])))
                found += read_spans(read, offsets[first:last], lengths[first:last], ANSWER_GAP_MAX)
        return found

    def _file(self, serial: int) -> int:
        if serial not in self._files:
            while len(self._files) >= FILES_MAX:
                os.close(self._files.pop(next(iter(self._files))))
            folder = self._origin.answers
            path = answers_path(folder, serial) if serial else folder / ERRORS
            self._files[serial] = atomic.open_read(path)
        return self._files[serial]

    def _flawed_line(self, ordinal: int, key: bytes) -> bytes:
        if self._flaws is None:
            self._flaws = _read_flaws(self._origin.keys)
        own_key, error = self._flaws.get(ordinal, (b"", _UNKNOWN_FLAW))
        return _ERROR % (own_key or key, error)


def _line(state: int, key: bytes, value: bytes) -> bytes:
    if state == Settled.RESPONSE:
        return _RESPONSE % (key, value)
    return _ERROR % (key, normalised(value))


def _read_flaws(folder: Path) -> dict[int, tuple[bytes, bytes]]:
    """Return the kept flaws by ordinal: its key as JSON or nothing, its error."""
    found: dict[int, tuple[bytes, bytes]] = {}
    with (folder / source.FLAWS).open("rb") as file:
        for line in file:
            flaw = msgspec.json.decode(line, type=_Flaw)
            message = f"{flaw.message} (line {flaw.line}, column {flaw.column})"
            key = bytes(flaw.key)
            found[flaw.ordinal] = b"" if key == b"null" else key, failure(INVALID_ARGUMENT, message)
    return found


# ---- whole files --------------------------------------------------------------------------------


def measure(origin: Origin, lo: int, hi: int) -> list[Stretch]:
    """Measure the results of `[lo, hi)` stretch by stretch. Runs in a worker."""
    with Results(origin) as results:
        return [
            results.measure(start, min(start + STRETCH, hi)) for start in range(lo, hi, STRETCH)
        ]


def write_stretch(origin: Origin, stretch: Stretch, target: Path, offset: int) -> None:
    """Write the result lines of a stretch at their place in a file.

    Runs in a worker, several at once on one file; repeatable.
    """
    end = offset + stretch.bytes
    with Results(origin) as results, _opened(target) as file:
        os.lseek(file, offset, os.SEEK_SET)
        for ordinals in _bundles(stretch.lo, stretch.hi):
            data = b"".join(results.lines(ordinals))
            atomic.write_all(file, data, target)
            offset += len(data)
    if offset != end:
        raise WrongResults(f"{target}: {offset} where {end} was measured; nothing was published")


def write_part(origin: Origin, part: Part, target: Path) -> None:
    """Write the results of the requests of a batch that are settled. Runs in a worker."""
    states = source.open_states(origin.answers)
    with Results(origin) as results, _opened(target) as file:
        for ordinals in ordinals_of(read_runs(origin.answers, part.token), BUNDLE):
            settled = ordinals[np.isin(states[ordinals] & LOW, (Settled.RESPONSE, Settled.ERROR))]
            if len(settled):
                atomic.write_all(file, b"".join(results.lines(settled)), target)


def write_packed(origin: Origin, requests: int, target: Path, how: str) -> Published:
    """Write all results compressed, as one stream; the lines are those inside it.

    Runs in a worker; repeatable. One stream, because many readers stop at the end of the first.
    """
    lines = 0
    with (
        Results(origin) as results,
        _opened(target) as file,
        _packer(how, file, target) as stream,
    ):
        for ordinals in _bundles(0, requests):
            made = results.lines(ordinals)
            stream.write(b"".join(made))
            lines += len(made)
    return replace(digest(target), lines=lines)


def _bundles(lo: int, hi: int) -> Iterator[Int64s]:
    """Yield ordinals in bundles whose lines are made in one go."""
    for start in range(lo, hi, BUNDLE):
        yield np.arange(start, min(start + BUNDLE, hi))


@contextmanager
def _opened(target: Path) -> Iterator[int]:
    file = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield file
    finally:
        os.close(file)


class _Into:
    """A file as compressors want it."""

    def __init__(self, file: int, path: Path) -> None:
        self._file = file
        self._path = path

    def write(self, data: bytes) -> int:
        atomic.write_all(self._file, data, self._path)
        return len(data)

    def flush(self) -> None:
        """Nothing is held here."""


@contextmanager
def _packer(how: str, file: int, path: Path) -> Iterator[Any]:
    os.truncate(file, 0)
    into: Any = _Into(file, path)
    match how:
        case "gz":
            with gzip.GzipFile("", "wb", GZIP_LEVEL, into, mtime=0) as stream:
                yield stream
        case "zst":
            with ZstdCompressor(level=ZSTD_LEVEL).stream_writer(into, closefd=False) as stream:
                yield stream
        case _:
            raise ValueError(f"results cannot be compressed as {how!r}: gz or zst")
