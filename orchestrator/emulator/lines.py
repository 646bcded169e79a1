"""Reads input lines: one request a line, checked as the service's line parser checks them.

Shapes: `{"key": text, "request": {…}, "metadata": {…}}`; other names beside them are let through. A
blank line is skipped.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.emulator.bodies import strict_form
from orchestrator.emulator.quick import quick_tokens
from orchestrator.emulator.validate import Step, check

BLOCK = 1 << 20
LINE_FLAWS_MAX = 100
KINDS = {"GenerateContentRequest": "generate", "EmbedContentRequest": "embed"}

_ABSENT = msgspec.Raw(b"")
_NOTHING = frozenset({b"", b"null"})


class Line(msgspec.Struct):
    """A line's parts as raw JSON; what the line does not have is empty."""

    key: msgspec.Raw = _ABSENT
    request: msgspec.Raw = _ABSENT
    metadata: msgspec.Raw = _ABSENT


class LineFlaw(Exception):
    """Why the service refuses a line. Of these it lists every one."""


class NoRequest(LineFlaw):
    """A line without a request: looked for once all lines are read, and only the first is told."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a batch: its raw body, and its identity as it was given.

    `tokens` are those of its prompt when it is an ordinary request, else None.
    """

    raw: bytes
    key: bytes | None
    metadata: bytes | None
    tokens: int | None = None

    def body(self) -> dict[str, Any]:
        """Decode the body."""
        decoded: dict[str, Any] = _any_decoder.decode(self.raw)
        return decoded

    def identity(self) -> str | None:
        """Say the key by which a client knows the request: `key`, else `metadata.key`, else
        none.
        """
        if self.key is not None:
            return str(_any_decoder.decode(self.key))
        if self.metadata is None:
            return None
        found = _any_decoder.decode(self.metadata).get("key")
        return None if found is None else str(found)


_line_decoder = msgspec.json.Decoder(Line)
_any_decoder = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class Placed:
    """A line with its number, from 1, and its offset in the file."""

    number: int
    offset: int
    text: bytes


def split(fd: int, size: int) -> Iterator[list[Placed]]:
    """Yield blocks of lines from a file, split on the newline byte only, blank ones left out."""
    at, number, rest = 0, 1, b""
    while at < size:
        block = os.pread(fd, min(BLOCK, size - at), at)
        if not block:
            break
        start = at - len(rest)
        at += len(block)
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        yield list(_placed(lines, number, start))
        number += len(lines)
    if rest and not rest.isspace():
        yield [Placed(number, at - len(rest), rest)]


def _placed(lines: list[bytes], number: int, start: int) -> Iterator[Placed]:
    for index, line in enumerate(lines, number):
        if line and not line.isspace():
            yield Placed(index, start, line)
        start += len(line) + 1


def read_line(line: bytes, message: str, line_bytes_max: int = 0) -> Request:
    """Read and check a line against GenerateContentRequest or EmbedContentRequest; raises
    LineFlaw.
    """
    if line_bytes_max and len(line) > line_bytes_max:
        raise LineFlaw(f"line is too long: {len(line)} bytes, at most {line_bytes_max}")
    parts = _decoded(line)
    if bytes(parts.request) in _NOTHING:
        raise NoRequest("No request specified")
    raw = bytes(parts.request)
    tokens = quick_tokens(raw, KINDS[message])
    flaws = check(_value(raw, line), message) if tokens is None else ()
    if flaws:
        first = flaws[0]
        column = column_of(line, ("request", *first.trail))
        raise LineFlaw(f"invalid JSON, near column {column}: {first.line_text}")
    return Request(raw, _key(line, parts), _metadata(line, parts), tokens)


def _value(raw: bytes, line: bytes) -> Any:
    """Decode a request; what is JSON may still hold what is no value, such as a number of 5,000
    digits.
    """
    try:
        return _any_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LineFlaw(_syntax(line, error)) from error


def _decoded(line: bytes) -> Line:
    try:
        return _line_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        try:
            return _line_decoder.decode(strict_form(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise LineFlaw(_syntax(line, error)) from error


def _syntax(line: bytes, error: Exception) -> str:
    text = str(error)
    if line.startswith(b"\xef\xbb\xbf"):
        return "invalid JSON, near column 1: unexpected byte order mark"
    if "byte" in text:
        at = text.rsplit("byte", 1)[1].strip(" )")
        column = int(at) + 1 if at.isdigit() else len(line)
        return f"invalid JSON, near column {column}: unexpected character"
    if text.startswith("Expected"):
        return "invalid JSON, near column 1: expected an object"
    return f"invalid JSON, near column {len(line)}: unexpected end of line"


def _key(line: bytes, parts: Line) -> bytes | None:
    if bytes(parts.key) in _NOTHING:
        return None
    key = bytes(parts.key)
    if not key.startswith(b'"'):
        column = column_of(line, ("key",))
        raise LineFlaw(
            f"invalid JSON, near column {column}: invalid value for string: {key.decode()}"
        )
    return key


def _metadata(line: bytes, parts: Line) -> bytes | None:
    if bytes(parts.metadata) in _NOTHING:
        return None
    metadata = bytes(parts.metadata)
    if not metadata.startswith(b"{"):
        column = column_of(line, ("metadata",))
        raise LineFlaw(f"invalid JSON, near column {column}: expected an object for 'metadata'")
    return metadata


def column_of(line: bytes, trail: tuple[Step, ...]) -> int:
    """Find the column, from 1, just after the colon (or at the item) that a trail of keys and
    indexes leads to.
    """
    text = line.decode("utf-8", "replace")
    at = 0
    for step in trail:
        found = _after(text, at, step)
        if found is None:
            break
        at = found
    return len(text[:at].encode()) + 1


def _after(text: str, at: int, step: Step) -> int | None:
    at = _skip_space(text, at)
    if at >= len(text) or text[at] not in "{[":
        return None
    if isinstance(step, int) != (text[at] == "["):
        return at if step == 0 else None
    at += 1
    index = 0
    while at < len(text):
        at = _skip_space(text, at)
        if text[at] in "]}":
            return None
        if isinstance(step, int):
            if index == step:
                return at
        else:
            end = _skip_value(text, at)
            name = _name(text[at:end])
            at = text.index(":", end) + 1
            if name == step:
                return at
        at = _skip_space(text, _skip_value(text, _skip_space(text, at)))
        at += at < len(text) and text[at] == ","
        index += 1
    return None


def _name(text: str) -> str:
    try:
        return str(msgspec.json.decode(text.encode()))
    except msgspec.DecodeError:
        return text.strip("'\"")


def _skip_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _skip_value(text: str, at: int) -> int:
    """Go past one JSON value that is known to be well-formed."""
    depth = 0
    while at < len(text):
        mark = text[at]
        if mark in "\"'":
            at = _skip_text(text, at)
        elif mark in "{[":
            depth, at = depth + 1, at + 1
        elif mark in "}]":
            if depth == 0:
                return at
            depth, at = depth - 1, at + 1
        elif depth == 0 and mark in ",: \t\r\n":
            return at
        else:
            at += 1
        if depth == 0 and (mark in "}]" or mark in "\"'"):
            return at
    return at


def _skip_text(text: str, at: int) -> int:
    quote = text[at]
    at += 1
    while at < len(text) and text[at] != quote:
        at += 2 if text[at] == "\\" else 1
    return at + 1
