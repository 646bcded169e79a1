"""Taking the items of an inline answer out of a JSON stream of unknown size.

`batches.get` of an ended inline job holds all its answers, twice, in one JSON value that may be
hundreds of megabytes long. `InlineItems` walks it as it comes, holds at most one item, and keeps
what lies around the items, which is small. Only strings and brackets matter to the walk, so it
runs at the speed of a regular expression; whether an item is JSON is its reader's business.

The items lie in `response` or `metadata.output`, below `inlinedResponses` once or twice. The path
decides, never the key alone: what a request or an answer says cannot pass for items.

Trouble: what cannot be JSON raises `NotJson`, what is longer than it may be raises `TooMuch`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from orchestrator.gemini.bodies import TooMuch

LIST_KEYS = frozenset({"inlinedResponses", "inlinedEmbedContentResponses"})
PLACES = (("response",), ("metadata", "output"))
ANSWER_FIELDS = ("response", "error", "status")
LEVELS_MAX = 200  # around the items; within one, depth is only counted
KEY_BYTES_MAX = 64
STRUCTURE = re.compile(rb'[][{}",]')
BRACKETS = re.compile(rb'[][{}"]')
IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
QUOTE: Final = ord('"')
COMMA: Final = ord(",")
OPENING = {ord("{"): ord("}"), ord("["): ord("]")}
ARRAY: Final = ord("[")


class NotJson(Exception):
    """A stream that cannot be JSON."""


@dataclass(slots=True)
class Level:
    """An open bracket around the items: what closes it, and the last key read in an object."""

    closing: int
    key: str = ""
    wants_key: bool = False


class InlineItems:
    """Feed it the stream; it gives the items. `around` is the JSON with the items left out.

    `ended` tells that the JSON value is whole, `lists` how many lists of items were closed,
    `count` how many items were found.
    """

    def __init__(self, item_bytes_max: int, around_bytes_max: int) -> None:
        self.around = bytearray()
        self.ended = False
        self.lists = 0
        self.count = 0
        self._item_bytes_max = item_bytes_max
        self._around_bytes_max = around_bytes_max
        self._buffer = bytearray()
        self._kept = 0  # everything before this place was taken care of
        self._at = 0  # everything before this place was walked
        self._quote: int | None = None  # where the string begins in which we are
        self._depth = 0  # open brackets within an item
        self._in_list = False
        self._levels: list[Level] = []

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the items that are complete with this piece."""
        self._buffer += piece
        while (token := self._next_token()) is not None:
            item = self._take(*token)
            if item is not None:
                self.count += 1
                yield item
        self._trim()

    def _next_token(self) -> tuple[int, int] | None:
        """Walk to the next bracket, comma or end of a string; None if it is not there yet."""
        if self._quote is None:
            pattern = BRACKETS if self._depth else STRUCTURE
            found = pattern.search(self._buffer, self._at)
            if found is None:
                self._at = len(self._buffer)
                return None
            place = found.start()
            self._at = place + 1
            if self._buffer[place] != QUOTE:
                return self._buffer[place], place
            self._quote = place
        inside = IN_STRING.match(self._buffer, self._at)
        assert inside is not None, "it matches the empty string too"
        self._at = inside.end()
        if self._at == len(self._buffer) or self._buffer[self._at] != QUOTE:
            return None
        self._at += 1
        place, self._quote = self._quote, None
        return QUOTE, place

    def _take(self, token: int, place: int) -> bytes | None:
        if self._depth:
            return self._within_item(token, place)
        if self._in_list:
            return self._between_items(token, place)
        self._around_items(token, place)
        return None

    def _within_item(self, token: int, place: int) -> bytes | None:
        if token in OPENING:
            self._depth += 1
        elif token != QUOTE:
            self._depth -= 1
        return None if self._depth else self._cut(place + 1)

    def _between_items(self, token: int, place: int) -> bytes | None:
        if token in OPENING:
            self._depth = 1
        if token in OPENING or token == QUOTE:
            return None
        odd = self._cut(place).strip(b" \t\r\n,")  # null or a number in an item's place
        if token != COMMA:
            self._close_list(token, place)
        else:
            self._kept = place + 1
        return odd or None

    def _close_list(self, token: int, place: int) -> None:
        self._in_list = False
        self.lists += 1
        self._close(token)
        self._kept = place

    def _around_items(self, token: int, place: int) -> None:
        level = self._levels[-1] if self._levels else None
        if token in OPENING:
            self._open(token)
            if self._in_list:
                self._keep_around(place + 1)
        elif token == QUOTE:
            if level is not None and level.wants_key:
                level.key = self._text(place)
                level.wants_key = False
        elif token == COMMA:
            if level is not None:
                level.wants_key = level.closing != OPENING[ARRAY]
        else:
            self._close(token)

    def _open(self, token: int) -> None:
        if self.ended:
            raise NotJson("more after the end")
        if len(self._levels) == LEVELS_MAX:
            raise TooMuch("an answer that is nested too deeply")
        self._in_list = token == ARRAY and self._is_place_of_items()
        self._levels.append(Level(OPENING[token], wants_key=token != ARRAY))

    def _close(self, token: int) -> None:
        if not self._levels or self._levels.pop().closing != token:
            raise NotJson("brackets that do not match")
        self.ended = not self._levels

    def _is_place_of_items(self) -> bool:
        path = tuple(level.key for level in self._levels)
        rests = (path[len(place) :] for place in PLACES if path[: len(place)] == place)
        return any(len(rest) in {1, 2} and LIST_KEYS.issuperset(rest) for rest in rests)

    def _text(self, place: int) -> str:
        return self._buffer[place + 1 : min(self._at - 1, place + 1 + KEY_BYTES_MAX)].decode(
            "utf-8", "replace"
        )

    def _cut(self, end: int) -> bytes:
        piece = bytes(self._buffer[self._kept : end])
        self._kept = end
        return piece.lstrip(b" \t\r\n,")

    def _keep_around(self, end: int) -> None:
        self.around += self._buffer[self._kept : end]
        self._kept = end

    def _trim(self) -> None:
        """Let go of what was taken care of, and see that what is left is not too much."""
        if not self._in_list and self._quote is None:
            self._keep_around(self._at)
        del self._buffer[: self._kept]
        self._at -= self._kept
        if self._quote is not None:
            self._quote -= self._kept
        self._kept = 0
        limit = self._item_bytes_max if self._in_list else self._around_bytes_max
        if len(self._buffer) > limit or len(self.around) > self._around_bytes_max:
            raise TooMuch(f"an item or a head of more than {limit} bytes")


def wire_line(item: bytes) -> bytes:
    """Write an inline item as a line of a result file: its key, and its answer as it came.

    An item that is not of that shape goes on as it is, on one line, for its reader to judge.
    """
    fields = raw_fields(item)
    key = fields.get("key") or raw_fields(bytes(fields.get("metadata", b""))).get("key")
    parts = [b'"key":' + bytes(key)] if key is not None else []
    parts += [
        b'"%s":%s' % (name.encode(), on_one_line(bytes(fields[name])))
        for name in ANSWER_FIELDS
        if name in fields
    ]
    if len(parts) == (key is not None):
        return on_one_line(item) + b"\n"
    return b"{" + b",".join(parts) + b"}\n"


def raw_fields(raw: bytes) -> dict[str, msgspec.Raw]:
    """Split an object in its fields, their values as they came; {} if it is none."""
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return {}


def on_one_line(raw: bytes) -> bytes:
    """Take the line breaks out of JSON; within its strings there are none."""
    if b"\n" not in raw and b"\r" not in raw:
        return raw
    try:
        return msgspec.json.format(raw, indent=-1)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return raw.replace(b"\r", b" ").replace(b"\n", b" ")
