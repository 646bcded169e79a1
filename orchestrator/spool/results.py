"""Result lines: each request's answer under the user's own key.

Trouble: an answer that is no longer there, or a request that is still open, ends the delivery.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeAlias

import msgspec
import numpy as np

from orchestrator.domain.failures import INVALID_ARGUMENT, failure, normalised
from orchestrator.domain.join import LOW
from orchestrator.domain.layout import OFFSET_BITS, OFFSET_MASK, SIDE, Settled
from orchestrator.domain.planning import Int64s
from orchestrator.spool import atomic, source
from orchestrator.spool.extents import Span, read_spans, split_by_bytes
from orchestrator.spool.index_files import ERRORS, joined
from orchestrator.spool.source import Rows, Source

BUNDLE_BYTES = 1 << 20  # lines made in one go
BUNDLE_LINES = 1 << 11
CHUNK = 1 << 20
KEY_GAP_MAX = 1 << 11  # between two keys of the source; wider ones are read one by one
ANSWER_GAP_MAX = 1 << 8  # between two answers: the frame around them

Change: TypeAlias = Callable[[int, bytes], bytes]

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
        self._lines = np.asarray(source.open_lines(origin.keys))
        self._states = np.asarray(source.open_states(origin.answers))
        self._answers = np.asarray(source.open_answers(origin.answers))
        self._source = Source(origin.keys)
        self._joined = joined(origin.answers)
        self._files: dict[int, int] = {}
        self._flaws: dict[int, tuple[bytes, bytes]] | None = None

    def measure(self, lo: int, hi: int) -> Stretch:
        """Return what the lines of `[lo, hi)` come to, without making those of responses."""
        ordinals = np.arange(lo, hi)
        is_answer = self._settled(ordinals) == Settled.RESPONSE
        good, bad = ordinals[is_answer], ordinals[~is_answer]
        size = int(self._answers["length"][good].sum(dtype=np.int64))
        size += self._key_bytes(good) + _RESPONSE_BYTES * len(good)
        size += sum(len(text) for text in self.texts(bad))
        return Stretch(lo, hi, size, len(good), len(bad))

    def lengths(self, lo: int, hi: int) -> Int64s:
        """Return how many bytes the answers of `[lo, hi)` have."""
        lengths: Int64s = self._answers["length"][lo:hi].astype(np.int64)
        return lengths

    def first_response(self) -> bytes | None:
        """Return the first response that there is, None if all came out as errors."""
        for start in range(0, len(self._states), CHUNK):
            found = np.flatnonzero(self._states[start : start + CHUNK] & LOW == Settled.RESPONSE)
            if len(found):
                return bytes(self._values(found[:1].astype(np.int64) + start)[0])
        return None

    def texts(self, ordinals: Int64s, change: Change | None = None) -> Iterator[bytes]:
        """Yield the result lines of some requests, in their order, many at a time.

        `change` makes another response of each: called with the ordinal and the JSON, in order.
        """
        sizes = self._answers["length"][ordinals].astype(np.int64)
        for begin, end in split_by_bytes(sizes, BUNDLE_BYTES, BUNDLE_LINES):
            yield self._text(ordinals[begin:end], change)

    def _text(self, ordinals: Int64s, change: Change | None) -> bytes:
        settled = self._settled(ordinals)
        keys = self._keys(self._lines[_which(ordinals)], ordinals)
        if change is None and (settled == Settled.RESPONSE).all():
            return _response_lines(keys, self._values(ordinals))
        values = self._values(ordinals[settled != Settled.FLAWED])
        if change is not None:
            answered = (settled == Settled.RESPONSE)[settled != Settled.FLAWED].tolist()
            numbers = ordinals[settled != Settled.FLAWED].tolist()
            values = [
                change(number, bytes(value)) if is_response else value
                for number, value, is_response in zip(numbers, values, answered, strict=True)
            ]
        answers = iter(values)
        return b"".join(
            self._flawed_line(ordinal, key)
            if state == Settled.FLAWED
            else _line(state, key, next(answers))
            for state, ordinal, key in zip(settled.tolist(), ordinals.tolist(), keys, strict=True)
        )

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
        settled: np.ndarray = self._states[_which(ordinals)] & LOW
        if ((settled == Settled.OPEN) | (settled == Settled.RETRYABLE)).any():
            raise WrongResults(
                f"{self._origin.answers}: requests that are still open were to be delivered; "
                "run `orchestrator fsck`"
            )
        return settled

    def _key_bytes(self, ordinals: Int64s) -> int:
        rows = self._lines[_which(ordinals)]
        given = rows["key_length"] > 0
        numbers = (ordinals[~given] + rows["key"][~given]).tolist()
        return int(rows["key_length"].sum(dtype=np.int64)) + sum(
            len(b'"%d"' % number) for number in numbers
        )

    def _keys(self, rows: Rows, ordinals: Int64s) -> Sequence[Span]:
        """Return the user's keys as JSON, byte for byte; the line's number where there is none."""
        if not (rows["flags"] & SIDE).any() and (rows["key_length"] > 0).all():
            starts = rows["base"].astype(np.int64) + rows["key"]
            return self._source.spans(starts, rows["key_length"].astype(np.int64), KEY_GAP_MAX)
        return [
            self._source.key(row, ordinal)
            for row, ordinal in zip(rows, ordinals.tolist(), strict=True)
        ]

    def _values(self, ordinals: Int64s) -> Sequence[Span]:
        """Return the JSON of each answer or error as it lies there."""
        answers = self._answers[_which(ordinals)]
        where, lengths = answers["where"].astype(np.int64), answers["length"].astype(np.int64)
        serials, offsets = where >> OFFSET_BITS, where & OFFSET_MASK
        if not len(serials):
            return []
        breaks = (np.flatnonzero(serials[1:] != serials[:-1]) + 1).tolist()
        found: list[Span] = []
        for first, last in pairwise([0, *breaks, len(serials)]):
            file = self._file(int(serials[first]))
            try:
                found += read_spans(file, offsets[first:last], lengths[first:last], ANSWER_GAP_MAX)
            except EOFError as error:
                raise WrongResults(f"{self._origin.answers}: of the answers, {error}") from error
        return found

    def _file(self, serial: int) -> int:
        if serial not in self._files:
            while len(self._files) >= FILES_MAX:
                os.close(self._files.pop(next(iter(self._files))))
            folder = self._origin.answers
            path = self._joined[serial] if serial else folder / ERRORS
            self._files[serial] = atomic.open_read(path)
        return self._files[serial]

    def _flawed_line(self, ordinal: int, key: Span) -> bytes:
        if self._flaws is None:
            self._flaws = _read_flaws(self._origin.keys)
        own_key, error = self._flaws.get(ordinal, (b"", _UNKNOWN_FLAW))
        return _ERROR % (own_key or key, error)


def _which(ordinals: Int64s) -> Int64s | slice:
    """Return ascending ordinals as an index: neighbours as a slice, which copies nothing."""
    if len(ordinals) and ordinals[-1] - ordinals[0] == len(ordinals) - 1:
        return slice(int(ordinals[0]), int(ordinals[-1]) + 1)
    return ordinals


def _response_lines(keys: Sequence[Span], values: Sequence[Span]) -> bytes:
    """Return lines of responses: one join, which takes a third of the time of formatting each."""
    pieces: list[Span] = [b""] * (4 * len(keys))
    pieces[0::4] = keys
    pieces[1::4] = [b',"response":'] * len(keys)
    pieces[2::4] = values
    pieces[3::4] = [b'}\n{"key":'] * len(keys)
    pieces[0] = b'{"key":' + bytes(keys[0])
    pieces[-1] = b"}\n"
    return b"".join(pieces)


def _line(state: int, key: Span, value: Span) -> bytes:
    if state == Settled.RESPONSE:
        return _RESPONSE % (key, value)
    return _ERROR % (key, normalised(bytes(value)))


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
