"""Lines of a batch's answers → whose they are, where the useful JSON lies, what it cost.

Members come in any order, `key` usually last. A run of lines that all end in `,"key":"N"}` is
read in one go, its spans by arithmetic; anything else line by line. Both give the same rows, and
both validate: JSON syntax of every nested value, and UTF-8.
"""

import codecs
import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from orchestrator.domain.batches import Usage
from orchestrator.domain.failures import UNKNOWN, rpc_code
from orchestrator.domain.usage import Response, summed

FOUND = np.dtype(
    [
        ("ordinal", "<i8"),  # whose answer it is; NO_KEY and NOT_OURS are below 0
        ("offset", "<u8"),  # of the JSON of the response or error, or of the whole malformed line
        ("length", "<u4"),
        ("code", "<i4"),  # RESPONSE, a google.rpc number, or one of the kinds of malformed lines
    ]
)
Found: TypeAlias = npt.NDArray[np.void]
Places: TypeAlias = npt.NDArray[np.int64]

RESPONSE = 0
NOT_JSON, NOT_UTF8, NEITHER, TOO_LONG = -1, -2, -3, -4
WHY = {
    NOT_JSON: "it is not valid JSON",
    NOT_UTF8: "it is not valid UTF-8",
    NEITHER: "it has neither a response nor an error",
    TOO_LONG: "it is longer than what is accepted",
}
NO_KEY, NOT_OURS = -1, -2
CANONICAL_BYTES_MAX = 1 << 20  # more in one go would only cost memory
LONG_LINE_BYTES = 500
TEXT_BYTES = 1 << 18
ORDINAL_DIGITS_MAX = 18

_RESPONSE_HEAD = b'{"response":'
_ERROR_HEAD = b'{"error":'
_KEY = b',"key":"'
_END = b'"}'
_KEY_IN_TAIL = re.compile(rb'[{,]\s*"key"\s*:\s*"(\d{1,18})"\s*\}\s*\}?\s*$')
_KEY_IN_HEAD = re.compile(rb'^\s*\{\s*(?:"metadata"\s*:\s*\{\s*)?"key"\s*:\s*"(\d{1,18})"')


class _Error(msgspec.Struct, gc=False):
    code: int


class _Canonical(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    key: int  # read from a string
    response: Response | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET


class _Line(msgspec.Struct, gc=False):
    # Empty when it is not there: a Raw cannot be in a union.
    key: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()
    status: msgspec.Raw = msgspec.Raw()


class _Metadata(msgspec.Struct, gc=False):
    key: str | int


_canonical = msgspec.json.Decoder(_Canonical, strict=False)
_values = msgspec.json.Decoder(_Line)
_line = msgspec.json.Decoder(_Line)
_key = msgspec.json.Decoder(str | int)
_metadata = msgspec.json.Decoder(_Metadata)
_response = msgspec.json.Decoder(Response)
_error = msgspec.json.Decoder(_Error)


@dataclass(frozen=True, slots=True)
class Reading:
    """What some lines are: one FOUND row for each that is not blank, in their order."""

    found: Found
    usage: Usage


def read_lines(data: bytes, base: int) -> Reading:
    """Read whole lines; `base` is the offset of `data` in the answers file.

    The last line may lack its newline.
    """
    return _read_canonical(data, base) or _read_each(data, base)


# ---- many lines in one go ---------------------------------------------------------------------


def _read_canonical(data: bytes, base: int) -> Reading | None:
    """Read lines that all are `{"response":…,"key":"N"}` or so with an error; None if they are not.

    Each line begins with its object and ends with the key as the object's last member. So no
    object goes over two lines, no two lie on one, and the value ends where `,"key":"` begins.
    """
    if not data.startswith((_RESPONSE_HEAD, _ERROR_HEAD)) or not data.endswith(_END + b"\n"):
        return None
    if len(data) > CANONICAL_BYTES_MAX or not is_utf8(data):
        return None
    try:
        lines = _canonical.decode_lines(data)
        ordinals = np.array([line.key for line in lines], np.int64)
    except (msgspec.DecodeError, OverflowError, RecursionError):
        return None
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    if len(ends) != len(lines) or (ordinals < 0).any():
        return None
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    cuts = ends - (len(_KEY) + len(_END)) - _digits(ordinals)
    responses = [line.response for line in lines if line.response is not msgspec.UNSET]
    errors = [(n, line.error) for n, line in enumerate(lines) if line.error is not msgspec.UNSET]
    if len(responses) + len(errors) != len(lines):
        return None
    heads = np.full(len(lines), len(_RESPONSE_HEAD))
    heads[[place for place, _ in errors]] = len(_ERROR_HEAD)
    if not _framed(data, starts, heads, cuts, ends) or not _single(
        data, cuts - starts - heads, bool(errors)
    ):
        return None
    found = np.empty(len(lines), FOUND)
    found["ordinal"] = ordinals
    found["offset"] = starts + heads + base
    found["length"] = cuts - starts - heads
    found["code"] = RESPONSE
    for place, error in errors:
        found["code"][place] = rpc_code(error.code)
    return Reading(found, summed(responses))


def _framed(data: bytes, starts: Places, heads: Places, cuts: Places, ends: Places) -> bool:
    """Tell whether each line is `{"response":…,"key":"N"}` or `{"error":…,"key":"N"}`.

    `cuts` are where its key begins, `heads` how much stands before its value.
    """
    # Eight bytes at any place as one number: one look instead of eight.
    words = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    answered = heads == len(_RESPONSE_HEAD)
    good, bad = starts[answered], starts[~answered]
    return (
        bool((cuts > starts).all())
        and _all_are(words[cuts], _KEY)
        and _all_are(words[ends - 8] >> 48, _END)
        and _all_are(words[good], _RESPONSE_HEAD[:8])
        and _all_are(words[good + len(_RESPONSE_HEAD) - 8], _RESPONSE_HEAD[-8:])
        and _all_are(words[bad], _ERROR_HEAD[:8])
        and _all_are(words[bad + len(_ERROR_HEAD) - 8], _ERROR_HEAD[-8:])
    )


def _single(data: bytes, lengths: Places, has_errors: bool) -> bool:  # noqa: FBT001
    """Tell whether no member comes twice: the last would count, and the span would hold both."""
    if len(data) > LONG_LINE_BYTES * len(lengths):  # then the exact way is the quick one, too
        values = _values.decode_lines(data)
        held = [len(memoryview(line.response)) or len(memoryview(line.error)) for line in values]
        return bool(held == lengths.tolist())
    return (
        data.count(_KEY) == len(lengths)
        and b"," + _RESPONSE_HEAD[1:] not in data
        and not (has_errors and b"," + _ERROR_HEAD[1:] in data)
    )


def _all_are(words: npt.NDArray[Any], text: bytes) -> bool:
    return bool((words == np.uint64(int.from_bytes(text, "little"))).all())


def _digits(ordinals: npt.NDArray[np.int64]) -> Places:
    return np.searchsorted(POWERS, ordinals, side="right") + 1


POWERS = 10 ** np.arange(1, ORDINAL_DIGITS_MAX + 1, dtype=np.int64)


# ---- line by line -----------------------------------------------------------------------------


def _read_each(data: bytes, base: int) -> Reading:
    rows: list[tuple[int, int, int, int]] = []
    responses: list[Response] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        # One line alone may be very long: it is not copied.
        line = data if start == 0 and end >= len(data) - 1 else data[start:end]
        if line and not line.isspace():
            rows.append(_read_line(line, base + start, responses))
        start = end + 1
    return Reading(np.array(rows, FOUND), summed(responses))


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
        responses.append(_told(value))
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


def _told(response: memoryview) -> Response:
    try:
        return _response.decode(response)
    except msgspec.DecodeError:
        return Response()


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are valid UTF-8, without decoding them all at once."""
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), TEXT_BYTES):
            decoder.decode(data[start : start + TEXT_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def key_nearby(head: bytes, tail: bytes) -> int:
    """Return the ordinal that a broken or overlong line names at its begin or end, else NO_KEY."""
    found = _KEY_IN_HEAD.search(head[:256]) or _KEY_IN_TAIL.search(tail[-256:])
    return int(found[1]) if found else NO_KEY
