import json

import pytest

from orchestrator.domain.requests import Rules
from orchestrator.spool import unique
from orchestrator.spool.index import Indexing
from orchestrator.spool.merge import merge
from orchestrator.spool.pool import Inline
from orchestrator.spool.ranges_scan import Range, scan_range
from orchestrator.spool.source import BLOCK_BYTES
from tests.spool.worlds import LINE, World, lines, order

FILLER = LINE % ("filler", "x" * (3 << 20)) + "\n"


async def twins(tmp_path, text, **changes):
    """Index in many ranges; return the count and what was said of the repeated keys."""
    world = World(tmp_path)
    world.drop("a.jsonl", text)
    (claim,) = await world.take()
    indexing = Indexing(world.work, Inline(), parallel=1, range_bytes=BLOCK_BYTES)
    report = await indexing.index(claim, order(**changes))
    flaws = (world.work / claim.folder / "flaws.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in flaws]
    return report.duplicates, [(f["line"], f["key"], f["message"]) for f in found]


async def test_keys_across_ranges_are_compared(tmp_path):
    """A key that comes again far away is found, with both its lines, blank ones counted."""
    text = lines("a", "b") + "\n" + FILLER + FILLER.replace("filler", "other") + lines("c", "a")

    count, told = await twins(tmp_path, text)

    assert count == 1
    assert told == [(7, "a", "the key of line 1 comes again")]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (lines(*map(str, range(1000))), 0),
        (lines("a", "\\u0061", "A", "a\\n", "a\\u000a"), 2),
        (lines(*["same"] * 100), 99),
        (lines("é") + lines("\\u00e9"), 1),
        (lines("", ""), 1),
        (lines("k" * 400, "k" * 400, "k" * 401), 1),
        (lines("2") + LINE.replace('"key":"%s",', "") % "x" + "\n", 1),
        (lines("1") + LINE.replace('"key":"%s",', "") % "x" + "\n", 0),
        ((LINE.replace('"key":"%s",', "") % "x" + "\n") * 50, 0),
        ("nonsense\nnonsense\n" + lines("a"), 0),
    ],
)
async def test_keys_are_compared_as_text(tmp_path, text, count):
    """Keys are equal when their text is, however written; a line number is a key like others."""
    assert (await twins(tmp_path, text))[0] == count


async def test_repeated_keys_may_be_allowed(tmp_path):
    """Where duplicates are allowed nobody looks for them."""
    assert await twins(tmp_path, lines("a", "a"), unique_keys=False) == (0, [])


async def test_only_the_first_repeats_are_told(tmp_path):
    """A million repeats are counted, and a few of them shown."""
    count, told = await twins(tmp_path, lines(*["same"] * 1000))

    assert count == 999
    assert len(told) == unique.SHOWN_MAX


async def test_buckets_make_no_difference(tmp_path):
    """However few hashes are held at a time, the same keys are found."""
    folder = tmp_path / "set"
    (folder / "index").mkdir(parents=True)
    text = lines(*(str(i % 700) for i in range(1000)))
    (folder / "input").write_text(text)
    middle = len(text) // 2
    rules = Rules("generate", "m", {})
    ranges = [(0, 0, middle), (1, middle, len(text))]
    counts = [
        scan_range(Range(folder, folder / "input", part, start, stop, rules, 10_000, 10))
        for part, start, stop in ranges
    ]
    merge(folder, counts, (), 10)

    found = {size: unique.find_twins(folder, counts, size) for size in (1, 7, 100, 10_000)}

    assert {twins.count for twins in found.values()} == {300}
    assert len({twins.shown for twins in found.values()}) == 1
