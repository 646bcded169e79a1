"""Finds misspelt, misplaced and mistyped fields of requests before anything is sent.

The check is the parser's own: a request that has its shape is found so while it is parsed, in the
same pass over its bytes. What the parser complains of is put into words.
"""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Annotated, Any, Literal

import msgspec

from orchestrator.domain.batches import Kind
from orchestrator.domain.fields import SHAPES, Shape
from orchestrator.domain.placing import camel, spellings

_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$(.*)`)?")
_ENUM = re.compile(r"Invalid enum value (.*) - at `\$(.*)`")
_OTHER = re.compile(r"(.*) - at `\$(.*)`")
_STEP = re.compile(r"\.?([A-Za-z_]+)|\[(?:\d+|\.\.\.)\]")
_CHOICES_SHOWN = 8


def struct(shape: Shape, needed: str | None = None, left_out: Collection[str] = ()) -> Any:
    """Return the parser's type of a shape, in both spellings and without unknown fields.

    `needed` names the field that must be there (and, if a list, not be empty); the fields in
    `left_out` are unknown.
    """
    fields: list[Any] = []
    for name, kind in shape.items():
        if name in left_out:
            continue
        built = _built(kind)
        if name == needed:
            if isinstance(kind, list):
                built = Annotated[built, msgspec.Meta(min_length=1)]
            fields.insert(0, (name, built))
            continue
        for spelling in spellings(name):
            fields.append(
                (f"f{len(fields)}", built | None, msgspec.field(default=None, name=spelling))
            )
    return msgspec.defstruct("Message", fields, forbid_unknown_fields=True, gc=False)


def _built(kind: Any) -> Any:
    match kind:
        case dict():
            return struct(kind)
        case list():
            return list[_built(kind[0])]  # type: ignore[misc]  # built while running
        case tuple():
            return Literal[kind]
        case _:
            return kind


class Checker:
    """Tells whether requests of one kind have a shape that the service knows."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._decode = _decoder(kind).decode

    def finding(self, request: bytes | memoryview) -> str | None:
        """Return what is wrong with a request that is strict JSON, in words; None if nothing."""
        try:
            self._decode(request)
        except msgspec.ValidationError as error:
            return explain(str(error), self.kind)
        return None


@cache
def _decoder(kind: Kind) -> Any:
    return msgspec.json.Decoder(struct(SHAPES[kind]))


@lru_cache(maxsize=1024)
def explain(words: str, kind: Kind) -> str | None:
    """Put the parser's complaint into words that say what was probably meant.

    None when it is about a number that is only too long for Python.
    """
    shape = SHAPES[kind]
    if "out of range" in words:
        return None
    if unknown := _UNKNOWN.fullmatch(words):
        return _explain_unknown(unknown[1], unknown[2] or "", shape)
    if enum := _ENUM.fullmatch(words):
        choices = _at(shape, enum[2])
        return f"{_path(enum[2])} has the unknown value {enum[1]}{_meant(enum[1], choices)}"
    if other := _OTHER.fullmatch(words):
        return f"{_path(other[2])}: {other[1].lower().replace(' | null', '')}"
    return words


def _explain_unknown(name: str, path: str, shape: Shape) -> str:
    known = _at(shape, path)
    place = f" in {_path(path)}" if path else ""
    names = tuple(known) if isinstance(known, Mapping) else ()
    homes = [home for home in _homes(camel(name), shape, "") if home != path.lstrip(".")]
    close = get_close_matches(camel(name), names, 1)
    if homes and not close:
        return f'unknown field "{name}"{place}; it belongs in {homes[0] or "the request itself"}'
    return f'unknown field "{name}"{place}' + (f'; did you mean "{close[0]}"?' if close else "")


def _meant(value: str, choices: Any) -> str:
    if not isinstance(choices, tuple):
        return ""
    close = get_close_matches(value.strip("'\"").upper(), choices, 1, 0.5)
    close = close or get_close_matches(value.strip("'\""), choices, 1, 0.5)
    return (
        f'; did you mean "{close[0]}"?'
        if close
        else "; known are " + ", ".join(choices[:_CHOICES_SHOWN])
    )


def _at(shape: Any, path: str) -> Any:
    """Return the part of a shape that lies at the parser's path."""
    for step in _STEP.finditer(path):
        if isinstance(shape, list):
            shape = shape[0]
        if step[1] is not None and isinstance(shape, Mapping):
            shape = shape.get(camel(step[1]))
    return shape[0] if isinstance(shape, list) else shape


def _homes(name: str, shape: Any, path: str) -> list[str]:
    """Return the paths of the messages that have a field of this name, nearest first."""
    if isinstance(shape, list):
        return _homes(name, shape[0], path + "[]")
    if not isinstance(shape, Mapping):
        return []
    found = [path] if name in shape else []
    for field, kind in shape.items():
        found += _homes(name, kind, f"{path}.{field}" if path else field)
    return sorted(found, key=lambda home: home.count("."))


def _path(path: str) -> str:
    return re.sub(r"\[(?:\d+|\.\.\.)\]", "[]", path.lstrip(".")) or "the request"
