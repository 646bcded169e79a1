"""One input line in any accepted form → where its request and its key lie, or a `Flaw`.

The forms: `{"key": K, "request": {…}}`; the key in `metadata.key`; no key; a bare request; and the
SDK's flat `config` inside a request. This module is the exact reading, one line at a time;
`domain.scan` reads whole blocks of lines of the usual layouts faster and with the same outcome.

A request stays a span of the line, as its user wrote it. Only where something must be moved or
taken out (`config`, a `model`, a `generationConfig` that defaults fill) it is put together anew,
and even then each value is carried as its own bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from orchestrator.domain import strictness
from orchestrator.domain.batches import Kind
from orchestrator.domain.fields import CONTENTS
from orchestrator.domain.layout import KEY_BYTES_MAX
from orchestrator.domain.placing import (
    as_contents,
    camel,
    fields_of,
    find_field,
    join_fields,
    place_config,
)
from orchestrator.domain.strictness import Flaw

MODEL_PREFIX = "models/"

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"')
_BLANK = re.compile(rb"[ \t\r\n]*+")


@dataclass(frozen=True, slots=True)
class Rules:
    """How the lines of one set are to be read.

    `defaults` are raw JSON values by camelCase name; bit i of an entry's flags is the i-th.
    `shape` says what a misspelt or misplaced field is.
    """

    kind: Kind
    model: str
    defaults: Mapping[str, bytes]
    shape: str = "off"  # "off" | "warn" | "flaw"

    @property
    def contents(self) -> str:
        """The one field that a request of this kind cannot do without."""
        return CONTENTS[self.kind]


class Entry(NamedTuple):
    """Where a line's request and key lie, in bytes from the line's start.

    `key_length` is 0 when the line has no key. `rewritten` is the request's JSON when it is not
    a span of the line. `strays` are top-level members that mean nothing.
    """

    start: int
    length: int
    key: int
    key_length: int
    flags: int
    rewritten: bytes | None = None
    strays: tuple[str, ...] = ()


class Member(NamedTuple):
    """One member of an object: its name, and where its value lies."""

    name: str
    start: int
    length: int

    def of(self, text: bytes) -> bytes:
        """Return the value's JSON."""
        return text[self.start : self.start + self.length]


class _Refused(Exception):
    """Carries a flaw out of the reading."""

    def __init__(self, code: str, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.at = at


def read_line(line: bytes, rules: Rules) -> Entry | Flaw:
    """Read one line that is not blank, without its line feed."""
    flaw = strictness.check(line)
    if flaw is not None:
        return flaw
    key = Member("", 0, 0)
    try:
        members = _members(line)
        key = _key(line, members)
        return _entry(line, members, key, rules)
    except _Refused as refused:
        column = strictness.column(line, refused.at)
        return Flaw(refused.code, str(refused), column, key.start, key.length)


def _members(text: bytes, base: int = 0) -> dict[str, Member]:
    """Return the members of the object `text` by name, each with its place from `base`."""
    try:
        values = fields_of(text)
    except msgspec.ValidationError as error:
        raise _Refused("NOT_AN_OBJECT", "the line must be a JSON object", base) from error
    found: dict[str, Member] = {}
    at = _BLANK.match(text, 0).end() + 1  # type: ignore[union-attr]  # it matches everywhere
    while text[(at := _BLANK.match(text, at).end()) : at + 1] == b'"':  # type: ignore[union-attr]
        string = _STRING.match(text, at)
        assert string is not None  # the text was parsed
        name = msgspec.json.decode(string[0], type=str)
        colon = _BLANK.match(text, string.end()).end()  # type: ignore[union-attr]
        start = _BLANK.match(text, colon + 1).end()  # type: ignore[union-attr]
        value = values[name]
        after = _BLANK.match(text, start + len(value)).end()  # type: ignore[union-attr]
        # The parser kept the last of several values: one that does not fit here came again.
        if (
            name in found
            or not text.startswith(value, start)
            or text[after : after + 1] not in b",}"
        ):
            raise _Refused("DUPLICATE_MEMBER", f'the member "{name}" is there twice', base + at)
        found[name] = Member(name, base + start, len(value))
        at = after + 1
    return found


def _key(line: bytes, members: Mapping[str, Member]) -> Member:
    """Return the key of a line, with length 0 if it has none."""
    inner = None
    if "metadata" in members:
        metadata = members["metadata"]
        text = metadata.of(line)
        if text[:1] != b"{" and text != b"null":
            raise _Refused("METADATA", "metadata must be an object", metadata.start)
        inner = _members(text, metadata.start).get("key") if text[:1] == b"{" else None
    outer = members.get("key") if "request" in members else None
    key = outer or inner
    if key is None:
        return Member("key", 0, 0)
    for each in (outer, inner):
        if each is not None and each.of(line)[:1] != b'"':
            raise _Refused(
                "KEY_TYPE", "the key must be a JSON string; put quotes round it", each.start
            )
    if outer and inner and _text(outer.of(line)) != _text(inner.of(line)):
        raise _Refused("KEY_TWICE", "key and metadata.key differ; give one of them", inner.start)
    if key.length > KEY_BYTES_MAX:
        raise _Refused("KEY_LENGTH", f"the key is longer than {KEY_BYTES_MAX} bytes", key.start)
    return key


def _entry(line: bytes, members: Mapping[str, Member], key: Member, rules: Rules) -> Entry:
    strays: tuple[str, ...] = ()
    if "request" in members:
        request = members["request"]
        strays = tuple(name for name in members if name not in ("key", "metadata", "request"))
        if line[request.start : request.start + 1] != b"{":
            raise _Refused("REQUEST_TYPE", "request must be an object", request.start)
    elif members.keys() & {"contents", "content"}:
        if "key" in members:
            raise _Refused("NO_REQUEST", 'put what is sent under "request", beside "key"')
        start = line.index(b"{")
        request = Member("", start, line.rindex(b"}") + 1 - start)
    else:
        raise _Refused("NO_REQUEST", _no_request(members))
    fields = fields_of(request.of(line))
    wire = fields if request.name else {k: v for k, v in fields.items() if k != "metadata"}
    flags, rewritten = _complete(wire, rules, request.start)
    if rewritten is None and wire != fields:
        rewritten = join_fields(wire)
    return Entry(request.start, request.length, key.start, key.length, flags, rewritten, strays)


def _no_request(members: Mapping[str, Member]) -> str:
    if "body" in members or "custom_id" in members:
        return 'no "request": this looks like another service\'s batch format'
    return 'no "request", and no "contents" or "content" either'


def _complete(fields: dict[str, bytes], rules: Rules, at: int) -> tuple[int, bytes | None]:
    """Return which defaults to fill in, and the request put together anew if it must be."""
    changed = dict(fields)
    try:
        if "config" in changed:
            changed = place_config(as_contents(changed))
    except ValueError as error:
        raise _Refused("CONFIG", str(error), at) from error
    if "model" in changed:
        _check_model(changed.pop("model"), rules, at)
    names = {camel(name) for name in changed}
    _check_contents(changed, names, rules, at)
    flags = sum(1 << i for i, name in enumerate(rules.defaults) if name not in names)
    _merge_generation_config(changed, rules.defaults)
    if not changed:  # an empty object cannot be appended to
        return 0, join_fields(rules.defaults)
    return flags, None if changed == fields else join_fields(changed)


def _check_model(value: bytes, rules: Rules, at: int) -> None:
    named = _text(value) if value[:1] == b'"' else value.decode()
    if named.removeprefix(MODEL_PREFIX) != rules.model.removeprefix(MODEL_PREFIX):
        raise _Refused(
            "MODEL", f"the request names the model {named}, its set runs on {rules.model}", at
        )


def _check_contents(fields: Mapping[str, bytes], names: set[str], rules: Rules, at: int) -> None:
    wanted = rules.contents
    if wanted not in names and wanted not in rules.defaults:
        other = {"contents", "content"} & names
        hint = f'; "{other.pop()}" is for the other kind of set' if other else ""
        raise _Refused("CONTENTS", f'the request has no "{wanted}"{hint}', at)
    value = fields.get(wanted)
    if value is None:
        return
    if rules.kind == "embed" and value[:1] != b"{":
        raise _Refused("CONTENTS", '"content" must be an object: {"parts": [{"text": …}]}', at)
    if rules.kind == "generate" and (value[:1] != b"[" or not value[1:-1].strip()):
        raise _Refused("CONTENTS", '"contents" must be a list: [{"parts": [{"text": …}]}]', at)


def _merge_generation_config(fields: dict[str, bytes], defaults: Mapping[str, bytes]) -> None:
    """Fill a request's own generationConfig with what it lacks, one level deep."""
    name = find_field(fields, "generationConfig")
    filling = defaults.get("generationConfig", b"")
    if name is None or fields[name][:1] != b"{" or filling[:1] != b"{":
        return
    own = fields_of(fields[name])
    there = {camel(each) for each in own}
    lacking = {k: v for k, v in fields_of(filling).items() if camel(k) not in there}
    if lacking:
        fields[name] = join_fields({**own, **lacking})


def _text(string: bytes) -> str:
    return msgspec.json.decode(string, type=str)
