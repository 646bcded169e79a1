"""What a line must be before anything is looked for in it: UTF-8, flat enough, strict JSON.

The parser alone is not enough: it takes invalid UTF-8 and infinite numbers in what it skips, and
ends deep nesting with a RecursionError.
"""

import re
from dataclasses import dataclass

import msgspec
import numpy as np

DEPTH_MAX = 100  # the service's own parser goes no deeper

_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_HUGE = re.compile(rb"[0-9][eE]\+?[0-9]{3}")
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]+")
_BYTE = re.compile(r" ?\(byte (\d+)\)")
_HALF = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_PIECE_BYTES = 1 << 16
_decode = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a line cannot be sent. `column` counts characters from 1; 0 when there is none.

    `key` and `key_length` are the span of the line's key, when it could be read all the same.
    """

    code: str
    message: str
    column: int = 0
    key: int = 0
    key_length: int = 0


def check(line: bytes) -> Flaw | None:
    """Return why this is not strict JSON in UTF-8, None if it is."""
    if b"\0" in line:
        return _flaw(line, "NUL", "a NUL byte", line.index(b"\0"))
    if not line.isascii():
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return _flaw(line, "NOT_UTF8", f"not UTF-8: {error.reason}", error.start)
    if _too_deep(line):
        return _flaw(line, "TOO_DEEP", f"nested deeper than {DEPTH_MAX} levels", 0)
    try:
        _decode(line)
    except msgspec.DecodeError as error:
        return _not_json(line, str(error))
    return _infinite(line)


def column(line: bytes, at: int) -> int:
    """Return which character of the line, from 1, lies at this byte."""
    return len(line[:at].decode("utf-8", "replace")) + 1


def _flaw(line: bytes, code: str, message: str, at: int) -> Flaw:
    return Flaw(code, message, column(line, at))


def _not_json(line: bytes, words: str) -> Flaw:
    place = _BYTE.search(words)
    half = _HALF.search(line)
    if half is not None and (place is None or "escape" in words or "surrogate" in words):
        return _flaw(line, "NOT_JSON", "half of a surrogate pair", half.start())
    at = int(place[1]) - ("trailing" in words) if place else len(line)
    reason = _BYTE.sub("", words).removeprefix("JSON is malformed: ")
    if place is None:
        reason = "it ends too early"
    elif b"\r" in line[:-1]:
        reason += " (lines must end in LF; this one has a CR inside)"
    return _flaw(line, "NOT_JSON", f"not JSON: {reason}", at)


def _too_deep(line: bytes) -> bool:
    if line.count(b"{") + line.count(b"[") <= DEPTH_MAX:
        return False
    bare = np.frombuffer(_STRINGS.sub(b"", line), np.uint8)
    depth = 0
    for at in range(0, bare.size, _PIECE_BYTES):
        piece = bare[at : at + _PIECE_BYTES] | 0x20  # brackets become braces
        steps = (piece == ord("{")).astype(np.int32) - (piece == ord("}"))
        depths = np.cumsum(steps)
        if depth + int(depths.max()) > DEPTH_MAX:
            return True
        depth += int(depths[-1])
    return False


def _infinite(line: bytes) -> Flaw | None:
    if _HUGE.search(line) is None:
        return None
    bare = _STRINGS.sub(lambda string: b" " * len(string[0]), line)
    for number in _NUMBER.finditer(bare):
        if float(number[0]) in (float("inf"), float("-inf")):
            return _flaw(line, "NUMBER_RANGE", "a number too large to be one", number.start())
    return None
