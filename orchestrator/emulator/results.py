"""What an ended job answers, made line by line from its input while it is read; nothing is ever
whole in memory.

The bytes are the same each time (unless the settings say otherwise), so a download can be cut and
taken up again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.emulator import answers
from orchestrator.emulator.bodies import strict_form
from orchestrator.emulator.dice import Dice
from orchestrator.emulator.faults import Fault
from orchestrator.emulator.job import Job
from orchestrator.emulator.lines import BLOCK
from orchestrator.emulator.own_errors import own_error
from orchestrator.emulator.rows import OWN_ERROR, Row, read_rows
from orchestrator.emulator.settings import EmulatorSettings
from orchestrator.emulator.spoiling import spoil, status

WINDOW = 100_000

_encoder = msgspec.json.Encoder()
_raw_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ABSENT = msgspec.Raw(b"")
_NOTHING = frozenset({b"", b"null"})


class _Line(msgspec.Struct):
    key: msgspec.Raw = _ABSENT
    request: dict[str, Any] | None = None
    metadata: msgspec.Raw = _ABSENT
    others: dict[str, msgspec.Raw] = {}

    def identity(self) -> tuple[msgspec.Raw | None, msgspec.Raw | None]:
        """Say (key, metadata) as they were given."""
        key = None if bytes(self.key) in _NOTHING else self.key
        return key, None if bytes(self.metadata) in _NOTHING else self.metadata


@dataclass(frozen=True, slots=True)
class Item:
    """One answer: what goes under `response` or `error` (or neither), and the identity as given."""

    content: dict[str, Any]
    key: msgspec.Raw | None
    metadata: msgspec.Raw | None
    raw: bytes | None = None
    others: dict[str, msgspec.Raw] = field(default_factory=dict)


class Results:
    """The answers of one job."""

    def __init__(
        self, settings: EmulatorSettings, dice: Dice, job: Job, spool: Path, rows: Path
    ) -> None:
        self._settings = settings
        self._dice = dice
        self._job = job
        self._rows = rows
        self._decoder = msgspec.json.Decoder(_Line)
        self._reader = _Reader(spool)
        found = settings.model(job.model)
        self._dimensions = found.dimensions if found is not None else 768

    def blocks(self, salt: int = 0) -> Iterator[bytes]:
        """Yield the output file in pieces of about a megabyte (less where lines are costly to
        make).
        """
        held: list[bytes] = []
        size = 0
        for made, item in enumerate(self.items(), salt):
            line = item.raw if item.raw is not None else self._line(item, made)
            held.append(line)
            size += len(line) + 1
            if size >= BLOCK or len(held) >= 2000:
                yield b"\n".join(held) + b"\n"
                held, size = [], 0
        if held:
            tail = b"\n".join(held) + b"\n"
            yield tail[: -(len(held[-1]) // 2 + 1)] if self._job.fate.cut_last_line else tail

    def items(self) -> Iterator[Item]:
        """Yield the answers in the order of the input, or shuffled, with every row fault done."""
        for ordinal, row in self._ordered():
            fault = self._fault(row)
            item = self._item(ordinal, row, fault)
            match fault.do if fault is not None else "":
                case "row_missing":
                    continue
                case "row_doubled":
                    yield item
                    yield item
                case "row_unknown":
                    yield item
                    name = f"emulator-unknown-{ordinal}".encode()
                    raw = msgspec.Raw(b'"' + name + b'"')
                    yield Item(
                        item.content,
                        raw,
                        msgspec.Raw(b'{"key":"' + name + b'"}') if item.metadata else None,
                    )
                case "row_no_identity":
                    yield Item(item.content, None, None)
                case _:
                    yield item

    def _ordered(self) -> Iterator[tuple[int, Row]]:
        numbered = enumerate(read_rows(self._rows))
        if not self._job.fate.shuffle:
            yield from numbered
            return
        window: list[tuple[int, Row]] = []
        for entry in numbered:
            window.append(entry)
            if len(window) >= WINDOW:
                yield from self._shuffled(window)
                window = []
        yield from self._shuffled(window)

    def _shuffled(self, window: list[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        for index in self._dice.order(
            len(window), "shuffle", self._job.number, window[0][0] if window else 0
        ):
            yield window[index]

    def _fault(self, row: Row) -> Fault | None:
        return None if row.fate in {0, OWN_ERROR} else self._job.rules[row.fate - 1]

    def _item(self, ordinal: int, row: Row, fault: Fault | None) -> Item:
        line = self._read(row.offset)
        body = line.request or {}
        if ordinal >= self._job.served:
            return self._failed({"code": 1}, line)
        if row.fate == OWN_ERROR:
            code, message = own_error(body, self._job.kind) or (
                13,
                "Internal error encountered.",
            )
            return self._failed({"code": code, "message": message}, line)
        if fault is not None and fault.do == "row_error":
            return self._failed(status(fault), line)
        if fault is not None and fault.do == "row_empty_error":
            return self._failed({}, line)
        if fault is not None and fault.do == "row_neither":
            return Item({}, *line.identity())
        if fault is not None and fault.do == "row_malformed":
            return Item({}, None, None, raw=b'{"response":{"candidates":[{"content":')
        response = self._response(body, row)
        if fault is not None:
            response = spoil(response, fault)
        return Item({"response": response}, *line.identity(), others=line.others)

    def _response(self, body: dict[str, Any], row: Row) -> dict[str, Any]:
        if self._job.kind == "embed":
            style = self._settings.unknowns.embed_usage
            return answers.embed(body, row.body, row.tokens, self._dimensions, style)
        return answers.generate(body, self._model(body), row.body, row.tokens)

    def _model(self, body: dict[str, Any]) -> str:
        asked = body.get("model")
        if self._settings.unknowns.line_model == "honoured" and isinstance(asked, str):
            return asked.removeprefix("models/")
        return self._job.model

    def _failed(self, error: dict[str, Any], line: _Line) -> Item:
        if self._settings.unknowns.error_details and error:
            info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "EMULATED"}
            error = error | {"details": [info]}
        return Item({self._settings.unknowns.error_field: error}, *line.identity())

    def _read(self, offset: int) -> _Line:
        line = self._reader.line(offset)
        try:
            read = self._decoder.decode(line)
        except msgspec.DecodeError:
            line = strict_form(line)
            read = self._decoder.decode(line)
        if self._settings.unknowns.echo_unknown_line_fields:
            read.others = {
                name: value
                for name, value in _raw_decoder.decode(line).items()
                if name not in {"key", "request", "metadata"}
            }
        return read

    def close(self) -> None:
        """Close the input."""
        self._reader.close()

    def _line(self, item: Item, made: int) -> bytes:
        identity: dict[str, Any] = dict(item.others)
        if item.metadata is not None:
            identity["metadata"] = item.metadata
        if item.key is not None:
            identity["key"] = item.key
        content = item.content
        draw = self._dice.number("order", self._job.number, made) if made % 8 == 0 else made
        if draw % 3 and "response" in content:
            content = content | {"response": _turned(content["response"], draw)}
        shown = identity | content if draw % 8 == 5 else content | identity
        line = _encoder.encode(shown)
        if self._settings.unknowns.escape_line_separators:
            for mark, escaped in ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029")):
                line = line.replace(mark, escaped)
        return line


def _turned(response: dict[str, Any], draw: int) -> dict[str, Any]:
    """Turn the order of keys at each level: the service's order is no order."""
    turned = _rotated(response, draw)
    if "usageMetadata" in turned:
        turned["usageMetadata"] = _rotated(turned["usageMetadata"], draw >> 1)
    if "candidates" in turned:
        turned["candidates"] = [_rotated(one, draw >> 2) for one in turned["candidates"]]
    return turned


def _rotated(fields: dict[str, Any], draw: int) -> dict[str, Any]:
    names = list(fields)
    turn = draw % len(names) if names else 0
    return {name: fields[name] for name in (*names[turn:], *names[:turn])}


class _Reader:
    """Reads lines of a file by their offset, ahead in blocks."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self._start = 0
        self._block = b""

    def line(self, offset: int) -> bytes:
        at = offset - self._start
        end = self._block.find(b"\n", at) if 0 <= at < len(self._block) else -1
        if end < 0:
            self._fill(offset)
            at, end = 0, self._block.find(b"\n")
            end = len(self._block) if end < 0 else end
        return self._block[at:end]

    def _fill(self, offset: int) -> None:
        size = BLOCK
        self._start = offset
        self._block = os.pread(self._fd, size, offset)
        while b"\n" not in self._block and len(self._block) == size:
            size *= 2
            self._block = os.pread(self._fd, size, offset)

    def close(self) -> None:
        os.close(self._fd)
