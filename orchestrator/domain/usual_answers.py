"""Many lines of answers in one go: the common layouts, their spans by arithmetic.

Lines are `{"response":…,"key":"N"}` or `{"key":"N","response":…}`, or so with an error, and nothing
else: the service writes members in any order. A run that holds any other line is not read here at
all. Both ways here validate JSON syntax, of every nested value, and UTF-8. Short lines are parsed
into what is wanted of them. Long ones are only passed over, which tells the exact span of each
value; the tokens that they took are looked for at their ends.
"""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from orchestrator.domain.failures import rpc_code
from orchestrator.domain.found import FOUND, RESPONSE, Found, Reading, is_utf8
from orchestrator.domain.usage import Response, summed, told_at_the_ends
from orchestrator.domain.usual import words_at_each_place

Places: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

BYTES_MAX = 1 << 20  # more in one go would only cost memory
LONG_LINE_BYTES = 1000
ORDINAL_DIGITS_MAX = 18
POWERS = 10 ** np.arange(1, ORDINAL_DIGITS_MAX + 1, dtype=np.int64)

_RESPONSE = b'"response":'
_ERROR = b'"error":'
_HEADS = (b"{" + _RESPONSE, b"{" + _ERROR, b'{"key":"')
_KEY_AHEAD = b'{"key":"'
_KEY_BEHIND = b',"key":"'
_BETWEEN = b'",'  # after a key that is ahead
_END = b'"}'  # after one that is behind
_ENDS = (_END + b"\n", b"}}\n")
_WORD = 8  # bytes that are compared at once
SHORTEST_BYTES = len(b'{"key":"0","error":{}}')
NONE = msgspec.Raw()


class _Error(msgspec.Struct, gc=False):
    code: int


class _Short(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    key: int  # read from a string
    response: Response | msgspec.UnsetType = msgspec.UNSET
    error: _Error | msgspec.UnsetType = msgspec.UNSET


class _Long(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    key: int
    # Empty when it is not there: a Raw cannot be in a union.
    response: msgspec.Raw = NONE
    error: msgspec.Raw = NONE


_short = msgspec.json.Decoder(_Short, strict=False)
_long = msgspec.json.Decoder(_Long, strict=False)
_error = msgspec.json.Decoder(_Error)


def read_usual(data: bytes, base: int) -> Reading | None:
    """Read whole lines of the common layouts; None if any of them is another.

    Each line is an object of two members, a key and a value. So no object goes over two lines, no
    two lie on one, and the value is all that stands between the frame's parts. `base` is the
    offset of `data` in the answers file.
    """
    if not data.startswith(_HEADS) or not data.endswith(_ENDS):
        return None
    if len(data) > BYTES_MAX or not is_utf8(data):
        return None
    read = _read_long if data.index(b"\n") > LONG_LINE_BYTES else _read_short
    try:
        reading = read(data)
    except (msgspec.DecodeError, OverflowError, RecursionError):
        return None
    if reading is not None:
        reading.found["offset"] += np.uint64(base)
    return reading


def _read_short(data: bytes) -> Reading | None:
    lines = _short.decode_lines(data)
    responses = [line.response for line in lines if line.response is not msgspec.UNSET]
    errors = [(n, line.error) for n, line in enumerate(lines) if line.error is not msgspec.UNSET]
    if len(responses) + len(errors) != len(lines):
        return None
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    failed = [place for place, _ in errors]
    spans = _spans(data, [line.key for line in lines], ends, failed)
    if spans is None or not _single(data, spans[1], failed):
        return None
    found = spans[0]
    for place, error in errors:
        found["code"][place] = rpc_code(error.code)
    return Reading(found, summed(responses))


def _read_long(data: bytes) -> Reading | None:
    lines = _long.decode_lines(data)
    responses = [memoryview(line.response) for line in lines]
    errors = [(n, memoryview(line.error)) for n, line in enumerate(lines) if line.error is not NONE]
    keys, failed = [line.key for line in lines], [place for place, _ in errors]
    spans = _spans(data, keys, _newlines(data), failed)
    if spans is None:
        return None
    found = spans[0]
    held = [len(response) for response in responses]
    for place, error in errors:
        held[place] += len(error)
        found["code"][place] = rpc_code(_error.decode(error).code)
    # A member that comes twice counts at its last place, so it is shorter than the span.
    if held != found["length"].tolist():
        return None
    answered = found[found["code"] == RESPONSE]
    starts = answered["offset"].tolist()
    ends = (answered["offset"] + answered["length"]).tolist()
    return Reading(found, summed(told_at_the_ends(data, starts, ends)))


def _newlines(data: bytes) -> Places:
    """Return where the newlines are; quicker than looking at each byte where they are few."""
    ends = [data.index(b"\n")]
    while (end := data.find(b"\n", ends[-1] + 1)) >= 0:
        ends.append(end)
    return np.array(ends, np.int64)


def _spans(
    data: bytes, keys: Sequence[int], ends: Places, failed: Sequence[int]
) -> tuple[Found, Mask] | None:
    """Return the rows of lines that end at `ends`, and whose key stands ahead of the value.

    All rows are as for responses. None unless each is framed as it should be, by an error's name
    if it `failed`, around an object.
    """
    ordinals = np.array(keys, np.int64)
    if len(ends) != len(keys) or (ordinals < 0).any():
        return None
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    if (ends - starts < SHORTEST_BYTES).any():
        return None
    octets = np.frombuffer(data, np.uint8)
    words = words_at_each_place(octets)
    ahead = words[starts] == _word_of(_KEY_AHEAD)
    behind = ~ahead
    digits = _digits(ordinals)
    names = np.full(len(keys), len(_RESPONSE))
    names[failed] = len(_ERROR)
    named = starts + np.where(ahead, len(_KEY_AHEAD) + digits + len(_BETWEEN), len(b"{"))
    begins = named + names
    cuts = ends - np.where(ahead, len(b"}"), len(_KEY_BEHIND) + digits + len(_END))
    answered = names == len(_RESPONSE)
    is_framed = (
        (begins < cuts).all()
        and (words[begins[answered] - len(_RESPONSE)] == _word_of(_RESPONSE[:_WORD])).all()
        and (words[begins[answered] - _WORD] == _word_of(_RESPONSE[-_WORD:])).all()
        and (words[begins[~answered] - _WORD] == _word_of(_ERROR)).all()
        and (words[cuts[behind]] == _word_of(_KEY_BEHIND)).all()
        and _all_are(octets, ends[behind] - len(_END), _END)
        and _all_are(octets, named[ahead] - len(_BETWEEN), _BETWEEN)
        and _all_are(octets, starts, b"{")
        and _all_are(octets, ends - 1, b"}")
        and _all_are(octets, begins, b"{")
        and _all_are(octets, cuts - 1, b"}")
    )
    if not is_framed:
        return None
    found = np.empty(len(keys), FOUND)
    found["ordinal"] = ordinals
    found["offset"] = begins
    found["length"] = cuts - begins
    found["code"] = RESPONSE
    return found, ahead


def _single(data: bytes, ahead: Mask, failed: Sequence[int]) -> bool:
    """Tell whether no member comes twice: the last would count, and the span would hold both.

    A key that comes twice is not looked for: in lines that are framed as these are, where a value
    begins and ends with its braces, no second key has room but beside a second value.
    """
    late, late_errors = np.count_nonzero(ahead), np.count_nonzero(ahead[failed])
    return data.count(b"," + _RESPONSE) == late - late_errors and (
        not failed or data.count(b"," + _ERROR) == late_errors
    )


def _word_of(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


def _all_are(octets: npt.NDArray[np.uint8], places: Places, text: bytes) -> bool:
    """Tell whether a few bytes stand at each of some places."""
    return all(bool((octets[places + step] == byte).all()) for step, byte in enumerate(text))


def _digits(ordinals: npt.NDArray[np.int64]) -> Places:
    return np.searchsorted(POWERS, ordinals, side="right") + 1
