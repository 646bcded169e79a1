"""Many lines of answers in one go: the common layout, its spans by arithmetic.

Lines are `{"response":…,"key":"N"}` or so with an error, and nothing else. A run that holds any
other line is not read here at all. Both ways here validate JSON syntax, of every nested value, and
UTF-8. Short lines are parsed into what is wanted of them. Long ones are only passed over, which
tells the exact span of each value; the tokens that they took are looked for at their ends.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from orchestrator.domain.failures import rpc_code
from orchestrator.domain.found import FOUND, RESPONSE, Found, Reading, is_utf8
from orchestrator.domain.usage import Response, summed, told_at_the_ends

Places: TypeAlias = npt.NDArray[np.int64]

BYTES_MAX = 1 << 20  # more in one go would only cost memory
LONG_LINE_BYTES = 1000
ORDINAL_DIGITS_MAX = 18
POWERS = 10 ** np.arange(1, ORDINAL_DIGITS_MAX + 1, dtype=np.int64)

_RESPONSE_HEAD = b'{"response":'
_ERROR_HEAD = b'{"error":'
_KEY = b',"key":"'
_END = b'"}'
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
    """Read whole lines of the common layout; None if any of them is another.

    Each line begins with its object and ends with the key as the object's last member. So no
    object goes over two lines, no two lie on one, and the value ends where `,"key":"` begins.
    `base` is the offset of `data` in the answers file.
    """
    if not data.startswith((_RESPONSE_HEAD, _ERROR_HEAD)) or not data.endswith(_END + b"\n"):
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
    found = _spans(data, [line.key for line in lines], ends, [place for place, _ in errors])
    if found is None or not _single(data, len(lines), bool(errors)):
        return None
    for place, error in errors:
        found["code"][place] = rpc_code(error.code)
    return Reading(found, summed(responses))


def _read_long(data: bytes) -> Reading | None:
    lines = _long.decode_lines(data)
    responses = [memoryview(line.response) for line in lines]
    errors = [(n, memoryview(line.error)) for n, line in enumerate(lines) if line.error is not NONE]
    found = _spans(data, [line.key for line in lines], _newlines(data), [n for n, _ in errors])
    if found is None or not _are_objects(data, found):
        return None
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


def _spans(data: bytes, keys: Sequence[int], ends: Places, failed: Sequence[int]) -> Found | None:
    """Return the rows of lines that end at `ends`, as for responses but for their lengths.

    None unless each is `{"response":…,"key":"N"}`, or `{"error":…,"key":"N"}` if it `failed`.
    """
    ordinals = np.array(keys, np.int64)
    if len(ends) != len(keys) or (ordinals < 0).any():
        return None
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    cuts = ends - (len(_KEY) + len(_END)) - _digits(ordinals)
    heads = np.full(len(keys), len(_RESPONSE_HEAD))
    heads[failed] = len(_ERROR_HEAD)
    if not _framed(data, starts, heads, cuts, ends):
        return None
    found = np.empty(len(keys), FOUND)
    found["ordinal"] = ordinals
    found["offset"] = starts + heads
    found["length"] = cuts - starts - heads
    found["code"] = RESPONSE
    return found


def _framed(data: bytes, starts: Places, heads: Places, cuts: Places, ends: Places) -> bool:
    """Tell whether the frames of all lines are as they should be.

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


def _single(data: bytes, count: int, has_errors: bool) -> bool:  # noqa: FBT001
    """Tell whether no member comes twice: the last would count, and the span would hold both."""
    return (
        data.count(_KEY) == count
        and b"," + _RESPONSE_HEAD[1:] not in data
        and not (has_errors and b"," + _ERROR_HEAD[1:] in data)
    )


def _are_objects(data: bytes, found: Found) -> bool:
    return bool((np.frombuffer(data, np.uint8)[found["offset"]] == ord("{")).all())


def _all_are(words: npt.NDArray[Any], text: bytes) -> bool:
    return bool((words == np.uint64(int.from_bytes(text, "little"))).all())


def _digits(ordinals: npt.NDArray[np.int64]) -> Places:
    return np.searchsorted(POWERS, ordinals, side="right") + 1
