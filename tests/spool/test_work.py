"""From the pool to settled requests, on real folders."""

import hashlib
import json
from pathlib import Path

import pytest

from orchestrator.domain.batches import Part, Tally
from orchestrator.domain.policy import Limits
from orchestrator.ports import SourceChanged
from orchestrator.spool import source
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder
from tests.spool import sets
from tests.spool.sets import FOLDER


async def _sent(work: WorkFolder, batch: Part, offset: int = 0) -> bytes:
    body = work.body(FOLDER, batch)
    return b"".join([piece async for piece in body.pieces(offset)])


async def test_a_plan_sends_each_request_once_under_its_ordinal(tmp_path: Path) -> None:
    """What the parts of a plan send is the pool: each request once, in order, under its ordinal."""
    lines = sets.plain(100)
    sets.written(tmp_path, lines)
    work = sets.opened(tmp_path)

    parts = await work.plan(FOLDER, sets.order(batch_bytes_max=1000))

    sent = b"".join([await _sent(work, sets.part(plan)) for plan in parts])
    assert sent == b"".join(
        b'{"key":"%d","request":%b}\n' % (n, line.request) for n, line in enumerate(lines)
    )
    assert len(parts) > 5
    assert all(plan.wire_bytes <= 1000 for plan in parts)


async def test_a_small_set_goes_inline_as_one_request_body(tmp_path: Path) -> None:
    """A pool whose create request fits the inline bound is one inline part, to the byte."""
    lines = sets.plain(3)
    sets.written(tmp_path, lines)
    work = sets.opened(tmp_path)
    (wide,) = await work.plan(FOLDER, sets.order(limits=Limits()))
    size = wide.wire_bytes

    (fits,) = await work.plan(FOLDER, sets.order(limits=Limits(inline_max_bytes=size)))
    (above,) = await work.plan(FOLDER, sets.order(limits=Limits(inline_max_bytes=size - 1)))

    assert (fits.mode, above.mode) == ("inline", "file")
    await work.plan(FOLDER, sets.order(limits=Limits(inline_max_bytes=size)))
    body = await _sent(work, sets.part(fits))
    assert len(body) == size
    batch = json.loads(body)["batch"]
    assert batch["displayName"] == fits.token
    assert [item["metadata"]["key"] for item in batch["inputConfig"]["requests"]["requests"]] == [
        "0",
        "1",
        "2",
    ]


async def test_a_body_is_the_same_from_any_offset(tmp_path: Path) -> None:
    """The pieces from an offset are the whole from there on, and the digest is the whole's."""
    sets.written(tmp_path, sets.plain(20, "é" * 50))
    work = sets.opened(tmp_path)
    for limits in (Limits(), Limits(inline_max_bytes=0)):
        (plan,) = await work.plan(FOLDER, sets.order(limits=limits))
        batch = sets.part(plan)
        whole = await _sent(work, batch)

        for offset in range(0, len(whole) + 1, 37):
            assert await _sent(work, batch, offset) == whole[offset:]

        assert await work.body(FOLDER, batch).sha256() == hashlib.sha256(whole).hexdigest()


async def test_a_changed_source_is_not_sent(tmp_path: Path) -> None:
    """A byte changed after intake raises before anything of its block is given out."""
    folder = sets.written(tmp_path, sets.plain(10))
    work = sets.opened(tmp_path)
    (plan,) = await work.plan(FOLDER, sets.order())
    data = bytearray((folder / source.INPUT).read_bytes())
    data[60] ^= 1
    (folder / source.INPUT).write_bytes(data)

    with pytest.raises(SourceChanged):
        await _sent(work, sets.part(plan))


async def test_a_source_that_is_gone_is_not_sent(tmp_path: Path) -> None:
    """A source that somebody removed is told as one that has changed."""
    folder = sets.written(tmp_path, sets.plain(3))
    work = sets.opened(tmp_path)
    (plan,) = await work.plan(FOLDER, sets.order())
    (folder / source.INPUT).unlink()

    with pytest.raises(SourceChanged, match="drop the file again"):
        await _sent(work, sets.part(plan))


async def test_answers_in_any_order_and_form_are_delivered_in_input_order(tmp_path: Path) -> None:
    """Each line of the results is the answer to its own request, under the user's own key."""
    lines = sets.plain(40)
    sets.written(tmp_path / "work", lines)
    work = sets.opened(tmp_path / "work")
    (plan,) = await work.plan(FOLDER, sets.order())
    batch = sets.part(plan)
    told = b"".join(sets.answered(n * 7 % 40, n) for n in range(39))
    await sets.collected(work, batch, told + sets.failed(39 * 7 % 40))

    report = await work.join(FOLDER, sets.join_order(batch))
    delivery = await _outbox(tmp_path).publish(sets.info(40), {"state": "delivered"}, None)

    assert report.tally == Tally(answered=39, failed=1), report
    assert (delivery.totals.answered, delivery.totals.failed) == (39, 1)
    found = sets.results(tmp_path / "outbox" / "done" / "results.jsonl")
    assert [line["key"] for line in found] == [f"k{n}" for n in range(40)]
    wrong = 39 * 7 % 40
    assert found[wrong]["error"] == {"code": 3, "status": "INVALID_ARGUMENT", "message": "no"}
    for n, line in enumerate(found):
        if n != wrong:
            assert line["response"] == json.loads(sets.response(n))


async def test_what_is_retryable_goes_back_and_comes_out_with_its_history(tmp_path: Path) -> None:
    """A retryable error is planned again; the lasting one tells the earlier ones."""
    sets.written(tmp_path / "work", sets.plain(5))
    work = sets.opened(tmp_path / "work")
    (first,) = await work.plan(FOLDER, sets.order())
    await sets.collected(
        work,
        sets.part(first),
        b"".join([*map(sets.answered, range(3)), sets.failed(3, 13, "oops"), sets.failed(4, 14)]),
    )
    one = await work.join(FOLDER, sets.join_order(sets.part(first)))
    (second,) = await work.plan(FOLDER, sets.order(2, first_serial=2))
    batch = sets.part(second, 2)
    await sets.collected(work, batch, sets.failed(3, 8, "again") + sets.answered(4))
    two = await work.join(FOLDER, sets.join_order(batch, last=True))
    again = await work.join(FOLDER, sets.join_order(batch, last=True))

    assert one.tally == Tally(answered=3, retryable=2)
    assert (second.lo, second.hi, second.count) == (3, 5, 2)
    assert two.tally == again.tally == Tally(answered=1, given_up=1)
    assert two.doubled == again.doubled == 0
    await _outbox(tmp_path).publish(sets.info(5), {}, None)
    error = sets.results(tmp_path / "outbox" / "done" / "results.jsonl")[3]["error"]
    assert error == {
        "code": 8,
        "status": "RESOURCE_EXHAUSTED",
        "message": "again (given up after 2 tries)",
        "history": [{"code": 13, "status": "INTERNAL", "message": "oops"}],
    }


def _outbox(root: Path) -> FolderOutbox:
    for name in ("outbox", "rejected"):
        (root / name).mkdir(exist_ok=True)
    return FolderOutbox(root / "outbox", root / "rejected", root / "work", Inline())
