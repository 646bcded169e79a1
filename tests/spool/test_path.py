"""From a drop to results, through every module of the room."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.ports import Claim
from orchestrator.spool.body import PIECE_BYTES_MAX
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder
from tests.spool import sets, worlds

DEFAULTS = json.dumps({"systemInstruction": {"parts": [{"text": "brief"}]}, "tools": []})
LINES: list[Mapping[str, Any]] = [
    {"key": "a", "request": {"contents": [{"parts": [{"text": "one"}]}]}},
    {
        "request": {"contents": [{"parts": [{"text": "two"}]}], "tools": [{"googleSearch": {}}]},
        "metadata": {"key": "b"},
    },
    {"request": {"contents": [{"parts": [{"text": "é\u2028"}]}]}},
    {"contents": [{"parts": [{"text": "bare"}]}]},
    {"key": "e", "request": {"contents": [{"parts": []}], "config": {"temperature": 0.5}}},
    {"key": "f", "request": {"contents": [{"parts": []}], "system_instruction": {"parts": []}}},
]
KEYS = ["a", "b", "3", "4", "e", "f"]


async def _indexed(root: Path, name: str, data: bytes) -> tuple[WorkFolder, Claim, int]:
    world = worlds.World(root)
    world.drop(name, data)
    (claim,) = await world.take()
    work = WorkFolder(world.work, sets.INSTALL, Inline())
    report = await work.index(claim, worlds.order(defaults=DEFAULTS))
    assert (report.problem, report.flawed) == (None, 0)
    return work, claim, report.requests


@pytest.mark.parametrize("name", ["drop.jsonl", "drop.jsonl.gz"])
async def test_every_form_is_sent_whole_and_answered_under_its_key(
    tmp_path: Path, name: str
) -> None:
    """Each request goes out with its defaults under its ordinal and comes back under its key."""
    text = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in LINES)
    data = gzip.compress(text) if name.endswith("gz") else text
    work, claim, requests = await _indexed(tmp_path, name, data)
    (plan,) = await work.plan(claim.folder, sets.order())
    batch = sets.part(plan)

    body = b"".join([piece async for piece in work.body(claim.folder, batch).pieces()])

    assert len(body) == plan.wire_bytes
    sent = [json.loads(line) for line in body.splitlines()]
    assert [line["key"] for line in sent] == [str(n) for n in range(requests)]
    for line, given in zip(sent, LINES, strict=True):
        request = line["request"]
        assert "systemInstruction" in request or "system_instruction" in request
        assert "tools" in request
        assert request["contents"] == (given.get("request") or given)["contents"]
    assert sent[1]["request"]["tools"] == [{"googleSearch": {}}]
    assert sent[4]["request"]["generationConfig"] == {"temperature": 0.5}
    sink = work.answers(claim.folder, batch.token)
    sink.append(b"".join(sets.answered(n, n) for n in reversed(range(requests))))
    await work.keep_answers(claim.folder, batch.token)
    await work.join(claim.folder, sets.join_order(batch))
    (tmp_path / "outbox").mkdir()
    outbox = FolderOutbox(tmp_path / "outbox", tmp_path, tmp_path / "work", Inline())
    info = sets.info(requests, folder=claim.folder)
    await outbox.publish(info, {}, None)
    found = sets.results(tmp_path / "outbox" / "done" / "results.jsonl")
    assert [line["key"] for line in found] == KEYS
    assert [line["response"] for line in found] == [
        json.loads(sets.response(n)) for n in range(requests)
    ]


async def test_long_and_short_requests_are_sent_the_same_from_any_offset(tmp_path: Path) -> None:
    """Pieces are bounded, over blocks of the source and lines longer than a piece as well."""
    lengths = [10, 3_000_000, 20, 500_000, *[300] * 20_000, 2_000_000, 5]
    text = b"".join(
        json.dumps({"key": f"k{n}", "request": {"contents": [{"parts": [{"text": "x" * size}]}]}})
        .encode() + b"\n"
        for n, size in enumerate(lengths)
    )  # fmt: skip
    work, claim, _ = await _indexed(tmp_path, "long.jsonl", text)
    (plan,) = await work.plan(claim.folder, sets.order())
    body = work.body(claim.folder, sets.part(plan))

    pieces = [piece async for piece in body.pieces()]

    whole = b"".join(pieces)
    assert len(whole) == body.size
    assert max(map(len, pieces)) <= PIECE_BYTES_MAX
    sent = [json.loads(line)["request"]["contents"] for line in whole.splitlines()]
    assert [len(one[0]["parts"][0]["text"]) for one in sent] == lengths
    for offset in (1, 3_000_100, 4_194_303, len(whole) - 3, len(whole)):
        assert b"".join([piece async for piece in body.pieces(offset)]) == whole[offset:]
