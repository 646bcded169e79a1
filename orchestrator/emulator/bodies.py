"""Reads request bodies: strict JSON first, then the lenient dialect (single quotes) that the
guide's own curl sends.
"""

import re
from typing import Any

import msgspec

from orchestrator.emulator.refusals import Refusal, invalid
from orchestrator.emulator.validate import check

_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)


def read(body: bytes) -> Any:
    """Decode a body; an empty one is an empty message."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _read_leniently(body, error)


def read_as(body: bytes, message: str) -> dict[str, Any]:
    """Decode a body and refuse it unless it fits the message type."""
    decoded = read(body)
    if not isinstance(decoded, dict):
        raise invalid(
            'Invalid JSON payload received. Unknown name "": Root element must be a message.'
        )
    flaws = check(decoded, message)
    if flaws:
        text = "\n".join(flaw.text for flaw in flaws)
        raise invalid(text, [(flaw.path, flaw.text) for flaw in flaws])
    return decoded


def pick(message: dict[str, Any], name: str, camel_name: str) -> Any:
    """Read a field that may be spelt either way."""
    value = message.get(name)
    return message.get(camel_name) if value is None else value


def _read_leniently(body: bytes, error: Exception) -> Any:
    try:
        return msgspec.json.decode(strict_form(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable(body, error) from error


def strict_form(body: bytes) -> bytes:
    """Rewrite single-quoted text as JSON's."""
    return _STRING.sub(_double_quoted, body.decode()).encode()


def _double_quoted(match: re.Match[str]) -> str:
    text = match.group()
    if text.startswith('"'):
        return text
    return '"' + text[1:-1].replace("\\'", "'").replace('"', '\\"') + '"'


def _unreadable(body: bytes, error: Exception) -> Refusal:
    found = re.search(r"byte (\d+)", str(error))
    at = int(found.group(1)) if found else max(len(body) - 1, 0)
    near = body[max(at - 20, 0) : at + 20].decode("utf-8", "replace")
    caret = " " * len(body[max(at - 20, 0) : at].decode("utf-8", "replace")) + "^"
    reason = "Unexpected end of string." if at >= len(body.rstrip()) - 1 else "Unexpected token."
    return invalid(f"Invalid JSON payload received. {reason}\n{near}\n{caret}")
