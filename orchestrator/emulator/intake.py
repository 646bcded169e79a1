"""Takes the requests of a new job: checks every one, writes the rows, and refuses all or nothing.

Big files are read in blocks, and the event loop gets its turn between them.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from orchestrator.emulator.lines import (
    LINE_FLAWS_MAX,
    LineFlaw,
    NoRequest,
    Placed,
    Request,
    read_line,
    split,
)
from orchestrator.emulator.own_errors import own_error
from orchestrator.emulator.prompts import prompt_tokens
from orchestrator.emulator.quick import quick_tokens
from orchestrator.emulator.refusals import invalid
from orchestrator.emulator.rows import OWN_ERROR, RECORD, body_digest, key_digest

Pick = Callable[[int, str | None], int]
MESSAGES = {"generate": "GenerateContentRequest", "embed": "EmbedContentRequest"}


@dataclass(frozen=True, slots=True)
class Taken:
    """What was counted: requests, prompt tokens, and rows that will be errors."""

    count: int
    tokens: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for a job's lines: its kind, its model, the walls, and how a row's fate is
    picked.
    """

    kind: str
    model: str
    line_bytes_max: int
    requests_max: int
    line_model: str
    pick: Pick
    error_fates: frozenset[int]


class Taker:
    """Counts requests and packs their rows."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self.count = self.tokens = self.errors = 0

    def pack(self, offset: int, request: Request) -> bytes:
        """Pack one request's row."""
        ordinal = self.count
        identity = request.identity()
        fate = self._terms.pick(ordinal, identity)
        tokens = request.tokens
        if tokens is None:
            body = request.body()
            tokens = prompt_tokens(body, self._terms.kind)
            if fate == 0 and own_error(body, self._terms.kind) is not None:
                fate = OWN_ERROR
        self.count += 1
        self.tokens += tokens
        self.errors += fate == OWN_ERROR or fate in self._terms.error_fates
        name = identity if identity is not None else f"#{ordinal}"
        return RECORD.pack(
            body_digest(request.raw), key_digest(name), offset, min(tokens, 2**32 - 1), fate
        )

    def taken(self) -> Taken:
        """Say what was counted."""
        return Taken(self.count, self.tokens, self.errors)


@dataclass(slots=True)
class Flaws:
    """What was wrong with an input file: every unreadable line, and the first without a request."""

    listed: list[str] = field(default_factory=list)
    without_request: str | None = None

    def add(self, number: int, flaw: LineFlaw) -> None:
        """Note a flaw of a line."""
        text = f"Error on line {number}: {flaw}"
        if not isinstance(flaw, NoRequest):
            self.listed.append(text)
        elif self.without_request is None:
            self.without_request = text

    def refuse(self) -> None:
        """Refuse the file if anything was wrong with it."""
        if self.listed:
            raise invalid("\n".join(self.listed[:LINE_FLAWS_MAX]))
        if self.without_request is not None:
            raise invalid(self.without_request)


async def take_file(spool: Path, rows: Path, terms: Terms) -> Taken:
    """Take every line of an input file; raises the refusal that lists the flawed ones."""
    taker, flaws = Taker(terms), Flaws()
    fd = os.open(spool, os.O_RDONLY)
    try:
        with rows.open("wb") as out:
            for block in split(fd, os.fstat(fd).st_size):
                out.write(_packed(block, taker, terms, flaws))
                if len(flaws.listed) >= LINE_FLAWS_MAX:
                    break
                await asyncio.sleep(0)
    finally:
        os.close(fd)
    flaws.refuse()
    _check_count(taker, terms)
    return taker.taken()


def _packed(block: list[Placed], taker: Taker, terms: Terms, flaws: Flaws) -> bytes:
    packed = []
    for line in block:
        try:
            request = read_line(line.text, MESSAGES[terms.kind], terms.line_bytes_max)
            _check_model(request, terms)
        except LineFlaw as flaw:
            flaws.add(line.number, flaw)
        else:
            packed.append(taker.pack(line.offset, request))
    return b"".join(packed)


def take_inline(
    requests: list[tuple[bytes, bytes | None]], spool: Path, rows: Path, terms: Terms
) -> Taken:
    """Take the requests of a body that was checked already: each its raw JSON and raw metadata."""
    taker = Taker(terms)
    offset = 0
    with spool.open("wb") as lines, rows.open("wb") as out:
        for raw, metadata in requests:
            request = Request(raw, None, metadata, quick_tokens(raw, terms.kind))
            try:
                _check_model(request, terms)
            except LineFlaw as flaw:
                raise invalid(str(flaw)) from flaw
            out.write(taker.pack(offset, request))
            line = b'{"request":' + _one_line(raw)
            line += (
                b',"metadata":' + _one_line(metadata) if metadata is not None else b""
            ) + b"}\n"
            lines.write(line)
            offset += len(line)
    _check_count(taker, terms)
    return taker.taken()


def _one_line(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=-1) if b"\n" in raw else raw


def _check_model(request: Request, terms: Terms) -> None:
    if terms.line_model != "refused":
        return
    asked = request.body().get("model")
    if asked and asked.removeprefix("models/") != terms.model:
        raise LineFlaw(f"model {asked} does not match the batch's model models/{terms.model}")


def _check_count(taker: Taker, terms: Terms) -> None:
    if taker.count == 0:
        raise invalid("No requests found in the batch.")
    if terms.requests_max and taker.count > terms.requests_max:
        raise invalid(
            f"The batch has {taker.count} requests; at most {terms.requests_max} are allowed."
        )
