"""Lines of a batch's answers → whose they are, where the useful JSON lies, what it cost.

Members come in any order, `key` usually last. A run of lines in the common layouts is read in one
go, anything else line by line. Both give the same rows, and both validate: JSON syntax of every
nested value, and UTF-8. What holds an odd line is halved, so that few others are read like it.
"""

import re

import msgspec
import numpy as np

from orchestrator.domain.failures import UNKNOWN, rpc_code
from orchestrator.domain.found import (
    FOUND,
    NEITHER,
    NO_KEY,
    NOT_JSON,
    NOT_OURS,
    NOT_UTF8,
    RESPONSE,
    Reading,
    is_utf8,
)
from orchestrator.domain.usage import Response, summed, told
from orchestrator.domain.usual_answers import ORDINAL_DIGITS_MAX, read_usual

APART_BYTES = 1 << 12  # so much is read line by line when any of it is odd
_KEY_IN_TAIL = re.compile(rb'[{,]\s*"key"\s*:\s*"(\d{1,18})"\s*\}\s*\}?\s*$')
_KEY_IN_HEAD = re.compile(rb'^\s*\{\s*(?:"metadata"\s*:\s*\{\s*)?"key"\s*:\s*"(\d{1,18})"')


class _Error(msgspec.Struct, gc=False):
    code: int


class _Line(msgspec.Struct, gc=False):
    # Empty when it is not there: a Raw cannot be in a union.
    key: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()


class _Metadata(msgspec.Struct, gc=False):
    key: str | int


_line = msgspec.json.Decoder(_Line)
_key = msgspec.json.Decoder(str | int)
_metadata = msgspec.json.Decoder(_Metadata)
_error = msgspec.json.Decoder(_Error)


def read_lines(data: bytes, base: int) -> Reading:
    """Read whole lines; `base` is the offset of `data` in the answers file.

    The last line may lack its newline.
    """
    reading = read_usual(data, base)
    if reading is not None:
        return reading
    middle = data.find(b"\n", len(data) // 2) + 1
    if len(data) <= APART_BYTES or not 0 < middle < len(data):
        return _read_each(data, base)
    halves = read_lines(data[:middle], base), read_lines(data[middle:], base + middle)
    found = np.concatenate([half.found for half in halves])
    return Reading(found, halves[0].usage + halves[1].usage)


def _read_each(data: bytes, base: int) -> Reading:
    rows: list[tuple[int, int, int, int]] = []
    responses: list[Response] = []
    start = 0
    while start < len(data):
        newline = data.find(b"\n", start)
        end = len(data) if newline < 0 else newline
        # One line alone may be very long: it is not copied.
        line = data if start == 0 and end >= len(data) - 1 else data[start:end]
        if line and not line.isspace():
            row = _read_line(line, base + start, responses)
            rows.append(_cut_off(line, row) if newline < 0 else row)
        start = end + 1
    return Reading(np.array(rows, FOUND), summed(responses))


def _cut_off(line: bytes, row: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """A last line that stops in the middle is nobody's answer: whoever it names is asked again."""
    is_cut = row[3] in (NOT_JSON, NOT_UTF8) and not _KEY_IN_TAIL.search(line[-256:])
    return (NO_KEY, *row[1:]) if is_cut else row


def _read_line(line: bytes, offset: int, responses: list[Response]) -> tuple[int, int, int, int]:
    """Return the FOUND row of one line, and keep what it tells about tokens."""
    if not is_utf8(line):
        return key_nearby(line, line), offset, len(line), NOT_UTF8
    try:
        read = _line.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return key_nearby(line, line), offset, len(line), NOT_JSON
    ordinal = _ordinal(read)
    kind, value = _value(read)
    if value is None:
        return ordinal, offset, len(line), NEITHER
    if kind == RESPONSE:
        responses.append(told(value))
    # Equal bytes are an equal span, so the first place where they occur will do.
    return ordinal, offset + line.index(value), len(value), kind


def _ordinal(line: _Line) -> int:
    try:
        if memoryview(line.key):
            return _as_ordinal(_key.decode(line.key))
        if memoryview(line.metadata):
            return _as_ordinal(_metadata.decode(line.metadata).key)
    except msgspec.DecodeError:
        return NOT_OURS
    return NO_KEY


def _as_ordinal(key: str | int) -> int:
    text = str(key)
    if text.isascii() and text.isdecimal() and len(text) <= ORDINAL_DIGITS_MAX:
        ordinal = int(text)
        return ordinal if str(ordinal) == text else NOT_OURS
    return NOT_OURS


def _value(line: _Line) -> tuple[int, memoryview | None]:
    """Return what a line says as (RESPONSE or the error's code, the JSON)."""
    response = _object(line.response)
    if response is not None:
        return RESPONSE, response
    for raw in (line.error, line.status):
        error = _object(raw)
        if error is not None:
            return _code(error), error
    return RESPONSE, None


def _object(raw: msgspec.Raw) -> memoryview | None:
    found = memoryview(raw)
    return found if found[:1].tobytes() == b"{" else None


def _code(error: memoryview) -> int:
    try:
        return rpc_code(_error.decode(error).code)
    except msgspec.DecodeError:
        return UNKNOWN


def key_nearby(head: bytes, tail: bytes) -> int:
    """Return the ordinal that a broken or overlong line names at its begin or end, else NO_KEY."""
    found = _KEY_IN_HEAD.search(head[:256]) or _KEY_IN_TAIL.search(tail[-256:])
    return int(found[1]) if found else NO_KEY
