from itertools import pairwise

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given, settings, strategies as st

from orchestrator.domain.layout import LINE as ROW
from orchestrator.domain.requests import Rules
from orchestrator.spool import atomic
from orchestrator.spool.index import Indexing
from orchestrator.spool.pool import Inline, Workers
from orchestrator.spool.ranges_scan import Range, part_path, scan_range
from orchestrator.spool.source import BLOCK_BYTES, Source, open_lines
from tests.spool.worlds import LINE, World, lines, order

RULES = Rules("generate", "m", {})


def scan(folder, data, cuts, piece_bytes, bytes_max):
    """Scan `data` in ranges cut at `cuts`; return offsets, numbers and lengths of all rows."""
    (folder / "index").mkdir(exist_ok=True)
    source = folder / "input"
    source.write_bytes(data)
    bounds = [0, *sorted(cuts), len(data)]
    found, before, flawed = [], 0, 0
    for part, (start, stop) in enumerate(pairwise(bounds)):
        if start == stop:
            continue
        asked = Range(folder, source, part, start, stop, RULES, bytes_max, 1000, piece_bytes)
        counted = scan_range(asked)
        rows = np.fromfile(part_path(folder, part, "lines"), ROW)
        places = np.fromfile(part_path(folder, part, "places"), np.dtype("<u4,<u8"))
        assert len(rows) == len(places) == counted.rows
        for row, (line, offset) in zip(rows.tolist(), places.tolist(), strict=True):
            found.append((before + line, offset, row[2]))
        before += counted.lines
        flawed += counted.flawed
    return found, flawed


@settings(max_examples=150, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=30),
    blanks=st.lists(st.booleans(), min_size=30, max_size=30),
    cuts=st.lists(st.integers(0, 1500), max_size=5),
    piece_bytes=st.integers(1, 300),
    ending=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
def test_every_line_is_found_in_any_ranges(  # noqa: PLR0917 - hypothesis names them
    tmp_path_factory, texts, blanks, cuts, piece_bytes, ending, last
):
    """However a file is cut into ranges and pieces, each line is read once, from its place."""
    folder = tmp_path_factory.getbasetemp() / "ranges"
    folder.mkdir(exist_ok=True)
    data, expected = b"", []
    bytes_max = 110
    number = 0
    for text, blank in zip(texts, blanks, strict=False):
        line = LINE % (
            "k",
            text.encode("unicode_escape").decode().replace("\\", "/").replace('"', "'"),
        )
        request = len(line) - len('{"key":"k","request":}')
        expected.append((number, len(data), request if len(line) <= bytes_max else 0))
        data += (line + ending + (ending if blank else "")).encode()
        number += 1 + blank
    if not last:
        data = data.rstrip(b"\r\n")
    cuts = [cut for cut in cuts if cut < len(data)]

    found, flawed = scan(folder, data, cuts, piece_bytes, bytes_max)

    assert found == expected
    assert flawed == sum(1 for _, _, length in expected if not length)


async def test_digests_cover_every_byte_whatever_the_lines(tmp_path):
    """Each block has its digest, in many ranges, with lines longer than a block and too long."""
    world = World(tmp_path)
    long = LINE % ("long", "x" * (9 << 20))
    too_long = LINE % ("too long", "y" * (21 << 20))
    data = (lines("a") + long + "\n" + lines("b") + too_long + "\n" + lines("c")).encode()
    world.drop("a.jsonl", data)
    (claim,) = await world.take()
    indexing = Indexing(world.work, Inline(), parallel=1, range_bytes=BLOCK_BYTES)

    report = await indexing.index(claim, order())

    folder = world.work / claim.folder
    digests = [
        blake3(data[at : at + BLOCK_BYTES]).digest() for at in range(0, len(data), BLOCK_BYTES)
    ]
    assert (folder / "blocks.idx").read_bytes() == b"".join(digests)
    assert report.content == blake3(b"".join(digests)).hexdigest()
    assert (report.requests, report.flawed, report.content_bytes) == (5, 1, len(data))
    with Source(folder) as source:
        rows = open_lines(folder)
        assert [source.key(row, i) for i, row in enumerate(rows)] == [
            b'"a"',
            b'"long"',
            b'"b"',
            b'"4"',
            b'"c"',
        ]
        assert len(source.request(rows[1])) > 9 << 20
        for block in range(source.blocks):
            source.block(block)


@pytest.mark.slow
async def test_processes_find_what_one_finds(tmp_path):
    """Many ranges in real worker processes give the same files as one in this process."""
    world = World(tmp_path)
    text = "".join(LINE % (f"key {i}", "z" * (i % 3000)) + "\n" for i in range(8000))
    world.drop("a.jsonl", "\n\n" + text + lines("key 17"))
    (claim,) = await world.take()
    folder = world.work / claim.folder
    inline = await world.indexing.index(claim, order())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    atomic.unlink(folder / "index.json")
    workers = Workers(2)
    try:
        indexing = Indexing(world.work, workers, parallel=2, range_bytes=BLOCK_BYTES)
        parallel = await indexing.index(claim, order())
    finally:
        workers.shutdown()

    assert parallel == inline
    assert inline.duplicates == 1
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
