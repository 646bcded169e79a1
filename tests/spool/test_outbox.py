"""Delivery: whose folder it is, what lies in it, and that a repeat changes nothing."""

import base64
import gzip
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from zstandard import ZstdDecompressor

from orchestrator.domain.ids import SetId
from orchestrator.ports import OutboxTaken, SourceGone
from orchestrator.spool import result_files, source
from orchestrator.spool.meta import Meta, save_meta
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Inline
from orchestrator.spool.result_files import STRETCH_BYTES
from orchestrator.spool.results import Origin, WrongResults
from orchestrator.spool.work import WorkFolder
from tests.spool import sets
from tests.spool.sets import FOLDER, Line


@pytest.fixture
def outbox(tmp_path: Path) -> FolderOutbox:
    """Return an empty outbox beside `work/`."""
    for name in ("outbox", "rejected"):
        (tmp_path / name).mkdir()
    return FolderOutbox(tmp_path / "outbox", tmp_path / "rejected", tmp_path / "work", Inline())


async def _answered(root: Path, lines: list[Line]) -> WorkFolder:
    """Lay down a set and let all of its sound requests be answered."""
    sets.written(root / "work", lines)
    work = sets.opened(root / "work")
    for plan in await work.plan(FOLDER, sets.order()):
        batch = sets.part(plan)
        sound = [n for n, line in enumerate(lines) if line.flaw is None]
        await sets.collected(work, batch, b"".join(map(sets.answered, sound)))
        await work.join(FOLDER, sets.join_order(batch))
    return work


def _summary(root: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((root / "outbox/done/summary.json").read_bytes())
    return found


async def test_keys_come_out_byte_for_byte(tmp_path: Path, outbox: FolderOutbox) -> None:
    """However a key was written, the result has those bytes; without one, the line's number."""
    keys = [b'"a"', b'"\\u0061"', b'"\xc3\xa9\\n"', b'"a"', None, b'""', None]
    await _answered(tmp_path, [Line(key, b'{"contents":[]}') for key in keys])

    await outbox.publish(sets.info(len(keys)), {}, None)

    lines = (tmp_path / "outbox/done/results.jsonl").read_bytes().splitlines()
    wanted = [key or b'"%d"' % (n + 1) for n, key in enumerate(keys)]
    assert lines == [
        b'{"key":%b,"response":%b}' % (key, sets.response(n)) for n, key in enumerate(wanted)
    ]


async def test_a_flaw_is_delivered_where_its_line_was(tmp_path: Path, outbox: FolderOutbox) -> None:
    """A flawed line costs nothing and comes out as an error that tells line and column."""
    lines = sets.plain(4)
    lines[2] = Line(None, b"{}", flaw="it is not JSON")
    await _answered(tmp_path, lines)

    delivery = await outbox.publish(sets.info(4, flawed=1), {}, None)

    found = sets.results(tmp_path / "outbox/done/results.jsonl")
    assert (delivery.totals.answered, delivery.totals.failed) == (3, 1)
    assert found[2] == {
        "key": "3",
        "error": {
            "code": 3,
            "status": "INVALID_ARGUMENT",
            "message": "it is not JSON (line 3, column 3)",
        },
    }


async def test_the_summary_names_every_file_with_size_digest_and_lines(
    tmp_path: Path, outbox: FolderOutbox
) -> None:
    """What summary.json says of its files is true, and it holds what the caller told."""
    work = await _answered(tmp_path, sets.plain(5))
    (plan,) = (await work.planned(FOLDER)).values()
    await outbox.publish_part(sets.info(5), sets.part(plan))

    delivery = await outbox.publish(sets.info(5), {"cost_usd": "0.01"}, None)

    summary = _summary(tmp_path)
    assert summary["cost_usd"] == "0.01"
    assert (summary["set"], summary["requests"], summary["answered"]) == (sets.SET, 5, 5)
    assert sorted(summary["files"]) == ["parts/00001.jsonl", "results.jsonl"]
    for name, told in summary["files"].items():
        data = (tmp_path / "outbox/done" / name).read_bytes()
        assert told == {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "lines": data.count(b"\n"),
        }
    told_bytes = (tmp_path / "outbox/done/summary.json").read_bytes()
    assert delivery.summary_sha256 == hashlib.sha256(told_bytes).hexdigest()


async def test_long_results_are_written_a_stretch_at_a_time(
    tmp_path: Path, outbox: FolderOutbox
) -> None:
    """Each stretch goes to its place, and the digest is that of the whole file."""
    sets.written(tmp_path / "work", sets.plain(5))
    work = sets.opened(tmp_path / "work")
    (plan,) = await work.plan(FOLDER, sets.order())
    texts = [str(n) * (STRETCH_BYTES * 2 // 5) for n in range(5)]
    answers = [b'{"response":%b,"key":"%d"}\n' % (sets.response(n, texts[n]), n) for n in range(5)]
    await sets.collected(work, sets.part(plan), b"".join(answers))
    await work.join(FOLDER, sets.join_order(sets.part(plan)))

    await outbox.publish(sets.info(5), {}, None)

    origin = Origin(tmp_path / "work" / FOLDER, tmp_path / "work" / FOLDER)
    assert [stretch.lo for stretch in result_files.measure(origin, 0, 5)] == [0, 2, 4]
    data = (tmp_path / "outbox/done/results.jsonl").read_bytes()
    wanted = [b'{"key":"k%d","response":%b}\n' % (n, sets.response(n, texts[n])) for n in range(5)]
    assert data == b"".join(wanted)
    assert _summary(tmp_path)["files"]["results.jsonl"] == {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "lines": 5,
    }


async def test_a_finished_folder_is_never_written_again(
    tmp_path: Path, outbox: FolderOutbox
) -> None:
    """Published again, a set gives the same delivery and not a byte changes."""
    work = await _answered(tmp_path, sets.plain(3))
    first = await outbox.publish(sets.info(3), {"n": 1}, None)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "outbox/done").iterdir()}
    (plan,) = (await work.planned(FOLDER)).values()

    again = await outbox.publish(sets.info(3), {"n": 2}, None)
    await outbox.publish_part(sets.info(3), sets.part(plan))

    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "outbox/done").iterdir()}
    assert again == first
    assert after == before


@pytest.mark.parametrize("owner", [None, "zzzzzzzzzz\n"])
async def test_a_foreign_folder_is_never_touched(
    tmp_path: Path, outbox: FolderOutbox, owner: str | None
) -> None:
    """A name that somebody else has is told to the caller, who takes another."""
    await _answered(tmp_path, sets.plain(3))
    foreign = tmp_path / "outbox/done"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    if owner is not None:
        (foreign / ".set").write_text(owner)
    before = sorted(foreign.iterdir())

    with pytest.raises(OutboxTaken, match="another name"):
        await outbox.publish(sets.info(3), {}, None)
    delivery = await outbox.publish(sets.info(3, outbox="done-2"), {}, None)

    assert sorted(foreign.iterdir()) == before
    assert delivery.outbox == "done-2"
    assert sorted(path.name for path in (tmp_path / "outbox").iterdir()) == ["done", "done-2"]


async def test_a_copy_gets_the_first_run_s_answers_under_its_own_keys(
    tmp_path: Path, outbox: FolderOutbox
) -> None:
    """The same content dropped again is answered from the first folder's index."""
    await _answered(tmp_path, sets.plain(3))
    (tmp_path / "work" / FOLDER).rename(tmp_path / "work" / "first")
    sets.written(tmp_path / "work", [Line(b'"other%d"' % n, b"{}") for n in range(3)])

    await outbox.publish(sets.info(3), {}, "first")

    found = sets.results(tmp_path / "outbox/done/results.jsonl")
    assert [line["key"] for line in found] == ["other0", "other1", "other2"]
    assert [line["response"] for line in found] == [json.loads(sets.response(n)) for n in range(3)]


async def test_a_first_run_that_was_removed_is_told(tmp_path: Path, outbox: FolderOutbox) -> None:
    """A copy whose first run has no answers any more is for the caller to run."""
    sets.written(tmp_path / "work", sets.plain(3))

    with pytest.raises(SourceGone):
        await outbox.publish(sets.info(3), {}, "first")


@pytest.mark.parametrize("how", ["gz", "zst"])
async def test_results_may_be_compressed(tmp_path: Path, outbox: FolderOutbox, how: str) -> None:
    """By option the results are one compressed stream of the same lines, the same each time."""
    await _answered(tmp_path, sets.plain(50))
    await outbox.publish(sets.info(50, outbox="plain"), {}, None)
    info = sets.info(50, options=json.dumps({"compress": how}))

    await outbox.publish(info, {}, None)

    packed = (tmp_path / f"outbox/done/results.jsonl.{how}").read_bytes()
    unpacked = (
        gzip.decompress(packed)
        if how == "gz"
        else ZstdDecompressor().decompress(packed, max_output_size=1 << 20)
    )
    assert unpacked == (tmp_path / "outbox/plain/results.jsonl").read_bytes()
    told = _summary(tmp_path)["files"][f"results.jsonl.{how}"]
    assert (told["bytes"], told["lines"]) == (len(packed), 50)


@pytest.mark.parametrize("compact", ["base64", "npy"])
async def test_embeddings_may_be_compact(
    tmp_path: Path, outbox: FolderOutbox, compact: str
) -> None:
    """By option vectors are float32, in base64 or as rows of a matrix; nothing else is lost."""
    sets.written(tmp_path / "work", sets.plain(5))
    work = sets.opened(tmp_path / "work")
    (plan,) = await work.plan(FOLDER, sets.order(kind="embed"))
    batch = sets.part(plan)
    vectors = {1: [0.25, -1.5], 2: [3.0, 1e-3], 4: [1.0, 2.0, 3.0]}
    lines = [
        json.dumps({"response": {"embedding": {"values": v}, "tokenCount": "4"}, "key": str(n)})
        for n, v in vectors.items()
    ]
    told = "\n".join(lines).encode() + b"\n" + sets.failed(0) + sets.failed(3)
    await sets.collected(work, batch, told)
    await work.join(FOLDER, sets.join_order(batch))
    info = replace(sets.info(5, options=json.dumps({"compact": compact})), kind="embed")

    delivery = await outbox.publish(info, {}, None)

    assert (delivery.totals.answered, delivery.totals.failed) == (3, 2)
    found = sets.results(tmp_path / "outbox/done/results.jsonl")
    answers: list[Any] = [found[n]["response"] for n in vectors]
    assert [answer["tokenCount"] for answer in answers] == ["4"] * 3
    embeddings = [answer["embedding"] for answer in answers]
    if compact == "base64":
        assert [
            np.frombuffer(base64.b64decode(one["values_base64"]), "<f4").tolist()
            for one in embeddings
        ] == [np.array(vector, "<f4").tolist() for vector in vectors.values()]
    else:
        assert embeddings == [{"row": 1}, {"row": 2}, {"values": [1.0, 2.0, 3.0]}]
        matrix = np.load(tmp_path / "outbox/done/embeddings.npy")
        assert matrix.shape == (5, 2)
        assert matrix[1:3].tolist() == np.array([vectors[1], vectors[2]], "<f4").tolist()
        assert np.isnan(matrix[[0, 3, 4]]).all()
        assert _summary(tmp_path)["files"]["embeddings.npy"]["lines"] == 5


async def test_an_open_request_is_never_delivered(tmp_path: Path, outbox: FolderOutbox) -> None:
    """A set with anything open has no results: no file, no summary."""
    sets.written(tmp_path / "work", sets.plain(3))

    with pytest.raises(WrongResults, match="still open"):
        await outbox.publish(sets.info(3), {}, None)

    assert not (tmp_path / "outbox/done/summary.json").exists()


async def test_a_part_holds_what_is_settled_of_its_batch(
    tmp_path: Path, outbox: FolderOutbox
) -> None:
    """Results of a batch come early, without those that will be tried again."""
    sets.written(tmp_path / "work", sets.plain(4))
    work = sets.opened(tmp_path / "work")
    (plan,) = await work.plan(FOLDER, sets.order())
    batch = sets.part(plan)
    lines = sets.answered(0) + sets.failed(1, 13) + sets.failed(2, 3) + sets.answered(3)
    await sets.collected(work, batch, lines)
    await work.join(FOLDER, sets.join_order(batch))

    await outbox.publish_part(sets.info(4), batch)

    found = sets.results(tmp_path / "outbox/done/parts/00001.jsonl")
    assert [line["key"] for line in found] == ["k0", "k2", "k3"]
    assert not (tmp_path / "outbox/done/summary.json").exists()


async def test_a_refused_drop_is_moved_with_its_flaws(tmp_path: Path, outbox: FolderOutbox) -> None:
    """The input is renamed as it is, the flaws lie beside it, the summary is last and stays."""
    lines = [*sets.plain(2), Line(None, b"{}", flaw="it is not JSON")]
    folder = sets.written(tmp_path / "work", lines)
    data = (folder / source.INPUT).read_bytes()
    flaws = (folder / source.FLAWS).read_bytes()

    for _ in range(2):
        await outbox.reject(sets.info(3, flawed=1), "too many flaws", {"flaws_max": "1 %"})

    place = tmp_path / "rejected/done"
    summary = json.loads((place / "summary.json").read_bytes())
    assert (place / "input").read_bytes() == data
    assert (place / "flaws.jsonl").read_bytes() == flaws
    assert (summary["reason"], summary["flaws_max"]) == ("too many flaws", "1 %")
    assert summary["set"] == SetId(sets.SET)


async def test_a_refused_drop_keeps_its_own_names(tmp_path: Path, outbox: FolderOutbox) -> None:
    """A file has the name that it was dropped under, its options beside it."""
    folder = sets.written(tmp_path / "work", sets.plain(2))
    (folder / source.OPTIONS).write_text("model = 7")
    save_meta(folder, _meta(b"hot/my drop.jsonl", "file", None))

    await outbox.reject(sets.info(2), "bad options", {})

    found = sorted(path.name for path in (tmp_path / "rejected/done").iterdir())
    assert found == [".set", "flaws.jsonl", "my drop.jsonl", "my drop.toml", "summary.json"]


@pytest.mark.parametrize(("written", "there"), [(b"", False), (b'{"line":1}\n', True)])
async def test_warnings_go_with_a_refused_drop_if_there_are_any(
    tmp_path: Path, outbox: FolderOutbox, written: bytes, *, there: bool
) -> None:
    """A list of warnings without any would only be opened in vain."""
    folder = sets.written(tmp_path / "work", sets.plain(2))
    (folder / source.WARNINGS).write_bytes(written)

    await outbox.reject(sets.info(2), "bad options", {})

    summary = json.loads((tmp_path / "rejected/done/summary.json").read_bytes())
    assert (tmp_path / "rejected/done/warnings.jsonl").exists() is there
    assert ("warnings.jsonl" in summary["files"]) is there


async def test_a_refused_folder_is_put_together_again(tmp_path: Path, outbox: FolderOutbox) -> None:
    """A folder comes out as the folder that was dropped, with all that was in it."""
    folder = sets.written(tmp_path / "work", sets.plain(2))
    (folder / "drop").mkdir()
    (folder / "drop" / "notes.txt").write_text("mine")
    (folder / source.OPTIONS).write_text("model = 7")
    save_meta(folder, _meta(b"mine", "folder", b"requests.jsonl"))

    await outbox.reject(sets.info(2), "bad options", {})

    found = sorted(path.name for path in (tmp_path / "rejected/done/mine").iterdir())
    assert found == ["notes.txt", "requests.jsonl", "set.toml"]


def _meta(raw: bytes, shape: Literal["file", "folder"], inner: bytes | None) -> Meta:
    return Meta(
        raw=raw.hex(),
        name="mine",
        profile="default",
        shape=shape,
        inner=inner.hex() if inner else None,
        sidecar=None,
        compression=None,
        dev=1,
        ino=1,
        size=1,
        mtime_ns=1,
        ctime_ns=1,
    )
