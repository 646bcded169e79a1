"""Checks a decoded JSON body against the message types, as the service's own parsers do.

A `Flaw` says where (in snake_case, as the service writes paths) and why, in the words of the front
end's parser; the parser of input lines has other words for the same flaw (`lines.py`).
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.emulator.messages import (
    ONEOF_PART,
    Field,
    camel,
    enum_values,
    fields_of,
    is_message,
)

Step = str | int

_INT_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_INT = re.compile(r"-?[0-9]+\Z")
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?\Z")
_DURATION = re.compile(r"-?[0-9]+(\.[0-9]{1,9})?s\Z")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+([Zz]|[-+][0-9]{2}:[0-9]{2})\Z")
_ONEOFS = {
    "Part": ("data", ONEOF_PART),
    "InputConfig": ("source", frozenset({"file_name", "requests"})),
    "InputEmbedContentConfig": ("source", frozenset({"file_name", "requests"})),
}


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong at `path`; `trail` are the keys as they were spelt, `line_text` the line
    parser's words.
    """

    path: str
    text: str
    line_text: str
    trail: tuple[Step, ...]


def check(body: Any, message: str) -> list[Flaw]:
    """List every flaw of a body against a message type; an empty list means that it fits."""
    return list(_message(body, message, "", ()))


def _message(value: Any, message: str, path: str, trail: tuple[Step, ...]) -> Iterator[Flaw]:
    if not isinstance(value, dict):
        yield _bad_value(value, message, path, trail)
        return
    fields = fields_of(message)
    seen: set[str] = set()
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            yield _unknown(key, path, trail)
        elif item is not None:
            if field.name in seen:
                yield _twice(field, key, path, trail)
            seen.add(field.name)
            yield from _field(item, field, key, path, trail)
    if message in _ONEOFS:
        yield from _oneof(seen, message, path, trail)


def _field(
    value: Any, field: Field, key: str, path: str, trail: tuple[Step, ...]
) -> Iterator[Flaw]:
    here = f"{path}.{field.name}" if path else field.name
    there = (*trail, key)
    if field.mapped:
        if not isinstance(value, dict):
            yield _bad_value(value, "Map", here, there)
            return
        for name, item in value.items():
            yield from _item(item, field.type, f"{here}[{name}]", (*there, name))
    elif field.repeated and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _item(item, field.type, f"{here}[{index}]", (*there, index))
    elif isinstance(value, list) and field.type != "value":
        text = "Proto field is not repeating, cannot start list."
        yield _named(key, path, text, f"expected a single value for '{key}', found a list", there)
    else:
        yield from _item(value, field.type, here, there)


def _item(value: Any, type_: str, path: str, trail: tuple[Step, ...]) -> Iterator[Flaw]:
    if type(value) is str and type_ == "string":
        return
    if is_message(type_):
        yield from _message(value, type_, path, trail)
    elif not _fits(value, type_):
        yield _bad_value(value, type_, path, trail)


def _fits(value: Any, type_: str) -> bool:
    values = enum_values(type_)
    if values is not None:
        known = isinstance(value, str) and value.upper() in values
        return known or (isinstance(value, int) and not isinstance(value, bool))
    fits = _CHECKS.get(type_)
    return fits is None or fits(value)


def _is_timed(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and bool(pattern.match(value))


def _is_int(value: Any, least: int, most: int) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return bool(_INT.match(value)) and least <= int(value) <= most
    if isinstance(value, float):
        return value.is_integer() and least <= value <= most
    return isinstance(value, int) and least <= value <= most


def _is_float(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, str):
        return value in {"NaN", "Infinity", "-Infinity"} or bool(_FLOAT.match(value))
    return isinstance(value, int | float) and math.isfinite(value)


def _is_base64(text: str) -> bool:
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "int32": lambda value: _is_int(value, *_INT_RANGES["int32"]),
    "int64": lambda value: _is_int(value, *_INT_RANGES["int64"]),
    "float": _is_float,
    "double": _is_float,
    "bytes": lambda value: isinstance(value, str) and _is_base64(value),
    "struct": lambda value: isinstance(value, dict),
    "duration": lambda value: _is_timed(value, _DURATION),
    "timestamp": lambda value: _is_timed(value, _TIMESTAMP),
}


def _oneof(seen: set[str], message: str, path: str, trail: tuple[Step, ...]) -> Iterator[Flaw]:
    name, members = _ONEOFS[message]
    given = [field for field in fields_of(message) if field in seen and field in members]
    for late in given[1:]:
        text = f"oneof field '{name}' is already set. Cannot set '{camel(late)}'"
        yield Flaw(path, f"Invalid value at '{path}' (oneof), {text}", text, trail)


def _unknown(key: str, path: str, trail: tuple[Step, ...]) -> Flaw:
    return _named(key, path, "Cannot find field.", f"no such field: '{key}'", (*trail, key))


def _twice(field: Field, key: str, path: str, trail: tuple[Step, ...]) -> Flaw:
    text = f"'{field.name}' has already been set"
    return Flaw(path, f"Invalid value at '{path}' ({key}), {text}", text, (*trail, key))


def _named(key: str, path: str, text: str, line_text: str, trail: tuple[Step, ...]) -> Flaw:
    place = f" at '{path}'" if path else ""
    whole = f'Invalid JSON payload received. Unknown name "{key}"{place}: {text}'
    return Flaw(path, whole, line_text, trail)


def _bad_value(value: Any, type_: str, path: str, trail: tuple[Step, ...]) -> Flaw:
    shown = msgspec.json.encode(value).decode()
    shown = shown if len(shown) <= 100 else shown[:97] + "..."
    if type_ == "bytes" and isinstance(value, str):
        text = f"Base64 decoding failed for {shown}"
        return Flaw(path, f"Invalid value at '{path}' (TYPE_BYTES), {text}", text, trail)
    scalar = type_.islower() or type_ in _INT_RANGES
    kind = f"TYPE_{type_.upper()}" if scalar else f"type.googleapis.com/{_google(type_)}"
    text = f"Invalid value at '{path}' ({kind}), {shown}"
    return Flaw(path, text, f"invalid value for {type_}: {shown}", trail)


def _google(type_: str) -> str:
    return f"google.ai.generativelanguage.v1beta.{type_}"
