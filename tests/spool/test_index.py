import json

from orchestrator.domain.layout import Settled
from orchestrator.spool.source import Source, open_answers, open_lines, open_states
from tests.spool.worlds import World, lines, order


async def test_a_drop_becomes_an_index_of_exact_spans(tmp_path):
    """Each request and key is found again, byte for byte, by its ordinal."""
    world = World(tmp_path)
    world.drop(
        "a.jsonl", "\ufeff" + lines("x", "y") + "\r\n\n" + lines("z").replace('"key":"z",', "")
    )

    (claim,) = await world.take()
    report = await world.indexing.index(claim, order())

    folder = world.work / claim.folder
    rows = open_lines(folder)
    with Source(folder) as source:
        found = [
            (source.key(row, i), json.loads(source.request(row))) for i, row in enumerate(rows)
        ]
        source.block(0)
    assert [key for key, _ in found] == [b'"x"', b'"y"', b'"5"']
    assert [request["contents"][0]["parts"][0]["text"] for _, request in found] == [
        "text of x",
        "text of y",
        "text of z",
    ]
    assert (report.requests, report.flawed, report.duplicates, report.problem) == (3, 0, 0, None)
    assert open_states(folder).tolist() == [Settled.OPEN] * 3
    assert open_answers(folder)["length"].tolist() == [0, 0, 0]
    wire = [
        b'{"key":"%d","request":%s}\n'
        % (i, json.dumps(r).encode().replace(b": ", b":").replace(b", ", b","))
        for i, (_, r) in enumerate(found)
    ]
    assert report.wire_bytes == sum(map(len, wire))


async def test_flaws_and_duplicates_are_told_with_their_lines(tmp_path):
    """Flaws keep their place; a repeated key names both lines."""
    world = World(tmp_path)
    world.drop("a.jsonl", "\n" + lines("x", "y") + "nonsense\n" + lines("\\u0078"))

    (claim,) = await world.take()
    report = await world.indexing.index(claim, order())

    folder = world.work / claim.folder
    flaws = [json.loads(line) for line in (folder / "flaws.jsonl").read_text().splitlines()]
    assert (report.requests, report.flawed, report.duplicates) == (4, 1, 1)
    assert [(f["line"], f["ordinal"], f["code"], f["key"]) for f in flaws] == [
        (5, 3, "DUPLICATE_KEY", "x"),
        (4, 2, "NOT_JSON", None),
    ]
    assert "line 2" in flaws[0]["message"]
    assert open_states(folder).tolist() == [0, 0, Settled.FLAWED, 0]


async def test_the_same_order_again_gives_the_same(tmp_path):
    """Indexing twice returns the same report and leaves the same bytes, also after a loss."""
    world = World(tmp_path)
    world.drop("a.jsonl", lines(*map(str, range(100))))
    (claim,) = await world.take()

    first = await world.indexing.index(claim, order())
    folder = world.work / claim.folder
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    again = await world.indexing.index(claim, order())
    (folder / "index.json").unlink()
    (folder / "lines.idx").write_bytes(b"torn")
    rebuilt = await world.indexing.index(claim, order())

    assert first == again == rebuilt
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}
