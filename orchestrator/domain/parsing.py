"""Parses the requests of a block: all in one call, or one by one where something is unusual.

Mostly a request is only skipped over, which proves its syntax; that it is UTF-8 and its numbers
are finite is found out beside. Where shapes are looked for, a request is parsed into the one it
should have, every string decoded and every number read; what does not fit is looked at alone.
"""

from functools import cache
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.domain import shapes, strictness, usual
from orchestrator.domain.batches import Kind
from orchestrator.domain.fields import CONTENTS, PLAIN, SHAPES
from orchestrator.domain.layout import DEFAULTS_MASK
from orchestrator.domain.placing import spellings
from orchestrator.domain.requests import Rules
from orchestrator.domain.suspects import Suspects
from orchestrator.domain.usual import Lines, Spans

_NEVER = Annotated[int, msgspec.Meta(gt=1, lt=0)]  # no value is of this type
_NOT_USUAL = ("model", "config", "key", "request", "metadata")
_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)


class _Object(msgspec.Struct, gc=False):
    """Any object: it is parsed and dropped."""


class Parser:
    """Tells which requests need no exact reading, and what their flags and findings are."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        decoders = _decoders(rules.kind, tuple(rules.defaults))
        self._plain = decoders.plain.decode_lines
        self._whole, self._shaped = decoders.whole.decode_lines, decoders.shaped.decode
        self._whole_one = decoders.whole.decode
        self._any, self._any_lines = decoders.any.decode, decoders.none_own.decode_lines
        self._own = [_attributes(i, name) for i, name in enumerate(rules.defaults)]
        self._all_lack = (1 << len(rules.defaults)) - 1
        self._suspects = Suspects()

    def accept(
        self,
        view: memoryview,
        padded: usual.Bytes | None,
        lines: Lines,
        spans: Spans,
        *,
        shaped: bool,
    ) -> tuple[NDArray[np.uint16], dict[int, str]]:
        """Leave `spans.ok` only to requests that are usual.

        `padded`, which loses all but the requests, is None when there are few lines, long ones.
        Returns the flags of all lines, and findings about shapes by line if `shaped`.
        """
        flags = np.full(lines.starts.size, self._all_lack, np.uint16)
        if self.rules.contents in self.rules.defaults:
            spans.ok[:] = False
        if not spans.ok.any():
            return flags, {}
        self._be_strict(view, lines, spans)
        wanted = int(np.count_nonzero(spans.ok))
        if padded is not None and wanted * 2 > spans.ok.size:
            requests = usual.bare_requests(padded, len(view), lines, spans)
            decoders = (self._plain, self._whole) if shaped else (self._any_lines,)
            if any(self._parse(each, requests, wanted) for each in decoders):
                return flags, {}
        if shaped:
            return flags, self._each_shaped(view, spans, flags)
        self._each(view, spans, flags)
        return flags, {}

    def _parse(self, decode_lines: Any, requests: memoryview, wanted: int) -> bool:
        try:
            return len(decode_lines(requests)) == wanted
        except _ERRORS:
            return False

    def _be_strict(self, view: memoryview, lines: Lines, spans: Spans) -> None:
        """Take out the lines that may not be quite strict; keys, too, are text."""
        block = np.frombuffer(view, np.uint8)
        spans.ok[self._suspects.find(block, lines)] = False
        spans.ok[self._suspects.broken_text(block, lines)] = False

    def _each(self, view: memoryview, spans: Spans, flags: NDArray[np.uint16]) -> None:
        for line in np.flatnonzero(spans.ok).tolist():
            try:
                request = self._any(view[spans.requests[line] : spans.stops[line]])
            except _ERRORS:
                spans.ok[line] = False
            else:
                self._flag(flags, line, request)

    def _each_shaped(
        self, view: memoryview, spans: Spans, flags: NDArray[np.uint16]
    ) -> dict[int, str]:
        findings: dict[int, str] = {}
        for line in np.flatnonzero(spans.ok).tolist():
            text = view[spans.requests[line] : spans.stops[line]]
            if self._is_whole(text):
                continue
            try:
                finding = self._finding(text)
                request = self._any(text)
            except _ERRORS:
                spans.ok[line] = False
                continue
            if finding is not None and self.rules.shape == "flaw":
                spans.ok[line] = False
                continue
            if finding is not None:
                findings[line] = finding
            self._flag(flags, line, request)
        return findings

    def _is_whole(self, text: memoryview) -> bool:
        """Tell whether a request has the whole shape and nothing that the defaults fill in."""
        try:
            self._whole_one(text)
        except _ERRORS:
            return False
        return True

    def _flag(self, flags: NDArray[np.uint16], line: int, request: Any) -> None:
        for i, names in enumerate(self._own):
            if any(getattr(request, name, None) is not None for name in names):
                flags[line] &= DEFAULTS_MASK ^ (1 << i)

    def _finding(self, text: memoryview) -> str | None:
        """Return what is odd about a request; raises when it is not strict."""
        try:
            self._shaped(text)
        except msgspec.ValidationError as error:
            if strictness.check(bytes(text)) is not None:
                raise
            return shapes.explain(str(error), self.rules.kind)
        return None


class _Decoders(NamedTuple):
    plain: Any  # the most usual shape, without fields of the defaults
    whole: Any  # the whole shape, without them
    shaped: Any  # the whole shape
    any: Any  # anything with contents; tells which fields of the defaults it has
    none_own: Any  # the same, without them


@cache
def _decoders(kind: Kind, defaults: tuple[str, ...]) -> _Decoders:
    """Build the types of a kind of requests: that takes longer than reading a megabyte."""
    contents = CONTENTS[kind]
    own = {spelling for name in defaults for spelling in spellings(name)}
    return _Decoders(
        *map(
            msgspec.json.Decoder,
            (
                shapes.struct(PLAIN[kind], contents, own),
                shapes.struct(SHAPES[kind], contents, own),
                shapes.struct(SHAPES[kind]),
                _any_request(kind, defaults, msgspec.Raw),
                _any_request(kind, defaults, _NEVER),
            ),
        )
    )


def _any_request(kind: Kind, defaults: tuple[str, ...], own: Any) -> type[msgspec.Struct]:
    """Return the type of a request of which nothing but its contents and defaults is known.

    `own` is the type of the fields that the defaults would fill in.
    """
    items = Annotated[list[_Object], msgspec.Meta(min_length=1)]
    fields: list[Any] = [(CONTENTS[kind], _Object if kind == "embed" else items)]
    fields += [(name, _NEVER, None) for name in _NOT_USUAL]
    for i, name in enumerate(defaults):
        if name in (*_NOT_USUAL, CONTENTS[kind]):
            continue
        value = _NEVER if name == "generationConfig" else own
        for attribute, spelling in zip(_attributes(i, name), spellings(name), strict=True):
            fields.append((attribute, value, msgspec.field(default=None, name=spelling)))
    return msgspec.defstruct("AnyRequest", fields, gc=False)


def _attributes(i: int, name: str) -> tuple[str, ...]:
    return tuple(f"default_{i}_{j}" for j, _ in enumerate(spellings(name)))
