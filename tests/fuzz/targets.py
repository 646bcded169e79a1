"""What is fuzzed: the readers of bytes that strangers wrote. Nothing but an answer may come out."""

import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from orchestrator.config.errors import ConfigError
from orchestrator.config.options import choose
from orchestrator.config.settings import Settings, load
from orchestrator.domain import answers, keys
from orchestrator.domain.options import BadOptions
from orchestrator.domain.requests import Entry, Rules, read_line
from orchestrator.domain.scan import Scanner
from orchestrator.gemini import wire
from orchestrator.gemini.bodies import TooMuch
from orchestrator.gemini.items import InlineItems, NotJson
from orchestrator.spool import names

RULES = {
    "generate": Rules("generate", "gemini-2.5-flash", {"generationConfig": b'{"topK":1}'}, "warn"),
    "embed": Rules("embed", "gemini-embedding-001", {}, "flaw"),
}
LINE_BYTES_MAX = 1 << 20


def lines(data: bytes) -> None:
    """Each line becomes an entry within its line, or a flaw; blocks and single lines agree."""
    for rules in RULES.values():
        text = data if data.endswith(b"\n") else data + b"\n"
        piece = Scanner(rules, LINE_BYTES_MAX).read(text, 0)
        bare = text.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]
        kept = [one.removesuffix(b"\r") for one in bare if one.strip(b" \t\r")]
        assert len(piece.rows) == len(kept)
        for number, one in enumerate(kept):
            entry = read_line(one, rules)
            assert not isinstance(entry, Entry) or entry.start + entry.length <= len(one)
            assert 0 <= number < len(piece.rows)


def protocol(data: bytes) -> None:
    """Whatever a service answers is read as something or as nothing."""
    whole = wire.decode(data)
    wire.page(data)
    wire.rpc_error(data)
    wire.job(whole)
    wire.stored_file(whole)
    wire.model(whole)


def inline_answers(data: bytes) -> None:
    """Inline answers end, are refused, or are cut short; nothing else."""
    items = InlineItems(1 << 16, 1 << 16)
    try:
        for at in range(0, len(data), 7):
            items.feed(data[at : at + 7])
    except (NotJson, TooMuch):
        return


def drop_names(data: bytes) -> None:
    """Any name is shown as one safe component of a path."""
    shown = names.shown(data)
    assert shown.isprintable()
    assert "/" not in shown
    assert not shown.startswith((".", "-"))
    assert len(shown.encode()) <= names.NAME_BYTES_MAX


def user_keys(data: bytes) -> None:
    """A key's hash is the same, alone and in a row of many, and is never "no key"."""
    cut = data[: keys.ROW_BYTES_MAX]
    width = max(8, -(-len(cut) // 8) * 8)
    rows = np.frombuffer(cut.ljust(width, b"\0"), np.uint8).reshape(1, width)
    assert keys.hash_key(data) != keys.NO_KEY
    assert int(keys.hash_rows(rows, np.array([len(cut)], np.int64))[0]) == keys.hash_key(cut)


def results(data: bytes) -> None:
    """Lines of answers are read alike in one go and one by one, and lie within the data."""
    together = answers.read_lines(data, 0)
    one_by_one = answers._read_each(data, 0)
    assert together.found.tolist() == one_by_one.found.tolist()
    assert together.usage == one_by_one.usage


def options(data: bytes) -> None:
    """An options file becomes options, or is refused in words."""
    try:
        choose(_defaults(), "", data.decode("utf-8", "surrogateescape"))
    except BadOptions:
        return


def config(data: bytes) -> None:
    """A settings file becomes settings, or is refused with lines that say what is wrong."""
    with tempfile.NamedTemporaryFile(dir="/dev/shm", suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            load(Path(file.name), {})
        except ConfigError:
            return


@cache
def _defaults() -> Settings:
    return load(None, {"ORCHESTRATOR_SERVICE__STATE_DIR": "/tmp/nowhere"})


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "lines": lines,
    "protocol": protocol,
    "inline_answers": inline_answers,
    "drop_names": drop_names,
    "user_keys": user_keys,
    "results": results,
    "options": options,
    "config": config,
}
