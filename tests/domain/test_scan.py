import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.domain import scan
from orchestrator.domain.keys import NO_KEY, ROW_BYTES_MAX, hash_key, hash_rows
from orchestrator.domain.layout import FLAWED, SIDE
from orchestrator.domain.requests import Entry, Rules, read_line
from orchestrator.domain.scan import Scanner

GENERATE = Rules("generate", "gemini-x", {})
HI = '{"contents":[{"parts":[{"text":"hi"}]}]}'


def seen(data, rules=GENERATE, pieces=None):
    """Return what the scanner makes of each row, and its flaws, in the user's terms."""
    scanner = Scanner(rules, 100_000)
    rows: list[Any] = []
    flaws, warnings, hashes = [], [], []
    offset = 0
    side = b""
    for piece in pieces or [data]:
        found = scanner.read(piece, offset)
        side += b"".join(found.side)
        for row, place, hash_ in zip(found.rows, found.places, found.hashes, strict=True):
            base, start, length, key, key_length, flags = (int(each) for each in row)
            text = side if flags & SIDE else data
            number = int(place["line"]) + 1
            request = text[base + start : base + start + length]
            own = text[base + key : base + key + key_length]
            name = own if key_length else b'"%d"' % (len(rows) + key)
            rows.append((number, int(place["offset"]), name, request, flags & ~SIDE))
            hashes.append(int(hash_))
        flaws += [(f.line + 1, f.ordinal, f.offset, f.flaw, f.key) for f in found.flaws]
        warnings += [(f.line + 1, f.ordinal, f.flaw.message) for f in found.warnings]
        offset += len(piece)
    assert scanner.rows == len(rows)
    return rows, flaws, warnings, hashes


def exactly(data, rules=GENERATE):
    """Do the same by the exact reading of one line after the other."""
    rows, flaws, hashes = [], [], []
    offset = 0
    for number, whole in enumerate(data.split(b"\n"), 1):
        bom = len(scan.BOM) if not offset and whole.startswith(scan.BOM) else 0
        line = whole[bom:]
        at, offset = offset + bom, offset + len(whole) + 1
        line = line[:-1] if line.endswith(b"\r") else line
        if not line.strip(b" \t\r"):
            continue
        entry = read_line(line, rules)
        key = line[entry.key : entry.key + entry.key_length]
        name = key or b'"%d"' % number
        if isinstance(entry, Entry):
            request = entry.rewritten or line[entry.start : entry.start + entry.length]
            rows.append((number, at, name, request, entry.flags))
        else:
            flaws.append((number, len(rows), at, entry, key))
            rows.append((number, at, name, b"", FLAWED))
        hashes.append(hash_key(json.loads(key).encode()) if key else NO_KEY)
    return rows, flaws, hashes


# Text that is nearly right in many ways.
SEEDS = [
    '{"key": "a", "request": {"contents": [{"parts": [{"text": "hi"}]}]}}',
    '{"key":"é\\n","request":' + HI + "}",
    '{"key":"ключ","request":' + HI + "}",
    '{"key":"a\\", ","request":' + HI + "}",
    '{"key": "", "request": ' + HI + "}",
    '{"key": "' + "k" * 60 + '", "request": ' + HI + "}",
    '{"key": "' + "k" * 400 + '", "request": ' + HI + "}",
    '{"key": "a", "request": {"contents": [{}]}, "request": ' + HI + "}",
    '{"key": "a", "request": ' + HI + ', "key": "b"}',
    '{"key": "x", "request": {", {"contents":[{}]}}',
    '{"key": "x\\", "request": {", {"contents":[{}]}}',
    '{"metadata": {"key": "m"}, "request": ' + HI + "}",
    '{"metadata":{"key":"m"},"request":' + HI + "}",
    '{"metadata":{"key":"m"},"x":1,"request":' + HI + "}",
    '{"request": ' + HI + "}",
    '{"request":' + HI + ',"metadata":{"key":"m"}}',
    HI,
    HI[:-1] + ',"generationConfig":{"temperature":1e999}}',
    HI[:-1] + ',"generationConfig":{"temperature":0.5,"topK":3},"tools":[]}',
    HI[:-1] + ',"tools":[{"x":' + "[" * 101 + "]" * 101 + "}]}",
    HI[:-1] + ',"tools":[{"googleSearch":{"a":2e400}}]}',
    HI[:-1] + ',"tools":[{"googleSearch":{"a":[2e40,1e+500]}}]}',
    HI[:-1] + ',"model":"models/gemini-x"}',
    HI[:-1] + ',"model":"other"}',
    HI[:-1] + ',"config":{"temperature":1}}',
    HI[:-1] + ',"unknown":"\\ud800"}',
    HI[:-1] + ',"unknown":{"é":"日本"}}',
    HI[:-1] + ',"system_instruction":{"parts":[]}}',
    '{"contents":[]}',
    '{"contents":["hi"]}',
    '{"contents":[{"parts":[{"text":"abc5e100 1e999"}]}]}',
    '{"key":"a","request":[]}',
    HI + HI,
    HI + " " + HI,
    '{"contents":[{}',
    "}",
    "{}",
    "nonsense",
    "",
    " ",
    "\r",
]
BYTES = [b"\xff", b"\0", b"\xed\xa0\x80", b"\r", b" ", b"}", b'"', b"\\", b"{", b"1e999"]

lines = st.sampled_from([seed.encode() for seed in SEEDS])


@st.composite
def damaged(draw):
    line = draw(lines)
    if line and draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(line)))
        cut = draw(st.integers(0, 2))
        line = line[:at] + draw(st.sampled_from(BYTES)) + line[at + cut :]
    return line


@st.composite
def files(draw):
    text = b"\n".join(draw(st.lists(lines | damaged(), max_size=12)))
    start = draw(st.sampled_from([b"", b"", b"", scan.BOM]))
    return start + text + draw(st.sampled_from([b"", b"\n", b"\r\n"]))


RULES = [
    GENERATE,
    Rules("generate", "gemini-x", {"systemInstruction": b"{}", "toolConfig": b"{}"}),
    Rules("generate", "gemini-x", {"generationConfig": b'{"topK":1}', "tools": b"[]"}),
    Rules("generate", "gemini-x", {"contents": b"[{}]"}),
    Rules("embed", "gemini-x", {}),
]


@settings(max_examples=300)
@given(data=files(), rules=st.sampled_from(RULES), long_bytes=st.sampled_from([1, 1 << 13]))
def test_the_quick_reading_agrees_with_the_exact_one(data, rules, long_bytes):
    """Read by blocks or line by line, every row, key, flaw and hash is the same."""
    before, scan.LONG_BYTES = scan.LONG_BYTES, long_bytes
    try:
        rows, flaws, _, hashes = seen(data, rules)
    finally:
        scan.LONG_BYTES = before

    assert (rows, flaws, hashes) == exactly(data, rules)


@given(data=files())
def test_odd_shapes_are_flaws_wherever_they_are(data):
    """What is odd about a request is a flaw in a block as in a line alone."""
    rules = Rules("generate", "gemini-x", {}, "flaw")
    pieces = [line + b"\n" for line in data.split(b"\n")]

    assert seen(data + b"\n", rules, pieces) == seen(data + b"\n", rules)


@given(data=files())
def test_odd_shapes_are_told_of_without_consequence(data):
    """A piece that is looked at gives the warnings of its lines, and rows as if it were not."""
    rules = Rules("generate", "gemini-x", {}, "warn")
    together = seen(data + b"\n", rules)
    alone = [seen(line + b"\n", rules)[2] for line in data.split(b"\n")]

    assert [words for *_, words in together[2]] == [words for told in alone for *_, words in told]
    assert together[:2] == seen(data + b"\n")[:2]


@given(data=files(), cuts=st.lists(st.integers(0, 2000), max_size=4))
def test_pieces_make_no_difference(data, cuts):
    """However whole lines are cut into pieces, the same is found."""
    ends = sorted({data.find(b"\n", cut) + 1 for cut in cuts} - {0} | {len(data)})
    pieces = [data[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]

    assert seen(data, pieces=pieces) == seen(data)


@given(st.lists(st.binary(max_size=ROW_BYTES_MAX), min_size=1, max_size=20))
def test_one_key_and_many_have_the_same_hash(keys):
    """Hashing rows of keys and single keys gives the same, and different keys differ."""
    rows = np.zeros((len(keys), ROW_BYTES_MAX), np.uint8)
    for row, key in zip(rows, keys, strict=True):
        row[: len(key)] = np.frombuffer(key, np.uint8)
    lengths = np.array([len(key) for key in keys], np.int64)

    hashes = hash_rows(rows, lengths).tolist()

    assert hashes == [hash_key(key) for key in keys]
    assert len(set(hashes)) == len(set(keys))
    assert NO_KEY not in hashes


@pytest.mark.parametrize("pattern", ["%d", "key-%08d", "%d-x-000-%d", "%016x%016x"])
def test_structured_keys_do_not_collide(pattern):
    """A hundred thousand keys of the usual kinds have a hundred thousand hashes."""
    count = pattern.count("%")
    keys = [(pattern % ((i,) * count)).encode() for i in range(100_000)]
    width = -(-max(map(len, keys)) // 8) * 8
    rows = np.array(keys, f"S{width}").view(np.uint8).reshape(-1, width)

    hashes = hash_rows(rows, np.array([len(key) for key in keys], np.int64))

    assert len(set(hashes.tolist())) == len(keys)


def test_warnings_say_what_was_meant():
    """A misspelt field is a warning with a suggestion, or a flaw, or nothing, as is asked for."""
    data = (HI[:-1] + ',"generationConfig":{"temprature":1}}\n' + HI + "\n").encode()

    _, flaws, warnings, _ = seen(data, Rules("generate", "m", {}, "warn"))
    _, as_flaws, no_warnings, _ = seen(data, Rules("generate", "m", {}, "flaw"))

    assert flaws == no_warnings == seen(data)[1] == seen(data)[2] == []
    ((line, ordinal, words),) = warnings
    assert (line, ordinal) == (1, 0)
    assert 'did you mean "temperature"' in words
    assert [(f[0], f[3].code, f[3].message) for f in as_flaws] == [(1, "SHAPE", words)]
