"""Requests that settle, or go back to the pool, without an answer."""

import stat
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.domain.batches import Part
from orchestrator.domain.found import FOUND
from orchestrator.domain.ids import IdempotencyKey, Ordinal
from orchestrator.domain.layout import GENERATION_SHIFT
from orchestrator.domain.policy import Limits
from orchestrator.spool import answer_files, answers, source
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder
from tests.spool import sets
from tests.spool.sets import FOLDER


async def _planned(root: Path, count: int = 6) -> tuple[WorkFolder, Part]:
    sets.written(root / "work", sets.plain(count))
    work = sets.opened(root / "work")
    (plan,) = await work.plan(FOLDER, sets.order())
    return work, sets.part(plan)


async def _errors(root: Path, count: int = 6) -> list[object]:
    for name in ("outbox", "rejected"):
        (root / name).mkdir(exist_ok=True)
    outbox = FolderOutbox(root / "outbox", root / "rejected", root / "work", Inline())
    await outbox.publish(sets.info(count), {}, None)
    return [line.get("error") for line in sets.results(root / "outbox/done/results.jsonl")]


async def test_a_release_gives_back_and_counts_the_try(tmp_path: Path) -> None:
    """What a batch without answers held is in the next generation's pool, and in no other."""
    work, batch = await _planned(tmp_path)

    settled = await work.release(FOLDER, batch, None, 4)

    assert settled == 0
    assert await work.plan(FOLDER, sets.order(1)) == []
    (again,) = await work.plan(FOLDER, sets.order(2))
    assert (again.count, again.ranges) == (6, batch.ranges)
    assert again.token != batch.token


async def test_a_last_release_settles_with_the_reason(tmp_path: Path) -> None:
    """Without another generation the open requests are errors that say why; once."""
    work, batch = await _planned(tmp_path)
    await sets.collected(work, batch, sets.answered(0))
    await work.join(FOLDER, sets.join_order(batch, as_it_is=True))
    (again,) = await work.plan(FOLDER, sets.order(2, first_serial=2))
    second = sets.part(again, 2)

    counts = [await work.release(FOLDER, second, "expired twice", 4) for _ in range(2)]

    assert counts == [5, 5]
    assert await work.open_count(FOLDER) == 0
    error = {"code": 4, "status": "DEADLINE_EXCEEDED", "message": "expired twice"}
    assert await _errors(tmp_path) == [None, *[error] * 5]


async def test_a_refused_line_settles_the_request_that_was_sent_on_it(tmp_path: Path) -> None:
    """The n-th line of the sent file is the n-th request of the batch, whatever its ordinal."""
    work, batch = await _planned(tmp_path)
    await sets.collected(work, batch, sets.answered(0) + sets.answered(3))
    await work.join(FOLDER, sets.join_order(batch, as_it_is=True))
    (again,) = await work.plan(FOLDER, sets.order(2, first_serial=2))
    second = sets.part(again, 2)

    told = [await work.settle_line(FOLDER, second, line, "no such field") for line in (3, 3, 0, 5)]

    assert told == [True, True, False, False]
    assert await work.open_count(FOLDER) == 3
    assert await work.settle_all(FOLDER, 1, "CANCELLED", "cancelled") == 3
    errors = await _errors(tmp_path)
    assert errors[4] == {"code": 3, "status": "INVALID_ARGUMENT", "message": "no such field"}
    assert errors[1] == {"code": 1, "status": "CANCELLED", "message": "cancelled"}


async def test_a_join_repeated_late_takes_no_try_back(tmp_path: Path) -> None:
    """A rolled-back ledger may join an old batch again: later tries and their errors stay."""
    work, first = await _planned(tmp_path, 2)
    await sets.collected(work, first, sets.failed(0, 13, "one") + sets.failed(1, 13, "one"))
    await work.join(FOLDER, sets.join_order(first))
    (again,) = await work.plan(FOLDER, sets.order(2, first_serial=2))
    second = sets.part(again, 2)
    await sets.collected(work, second, sets.failed(0, 14, "two") + sets.failed(1, 14, "two"))
    await work.join(FOLDER, sets.join_order(second))

    report = await work.join(FOLDER, sets.join_order(first))
    await work.release(FOLDER, first, None, 4)

    assert report.tally.retryable == 2
    assert await work.plan(FOLDER, sets.order(2)) == []
    (third,) = await work.plan(FOLDER, sets.order(3, first_serial=3))
    assert third.count == 2
    await work.release(FOLDER, sets.part(third, 3), "over", 4)
    error = (await _errors(tmp_path, 2))[0]
    assert isinstance(error, dict)
    assert [one["message"] for one in error["history"]] == ["one", "two"]


async def test_failed_requests_can_be_reopened(tmp_path: Path) -> None:
    """Reopened, errors are open again with their history; answers and flaws stay."""
    lines = sets.plain(4)
    lines[3] = sets.Line(None, b"{}", flaw="bad")
    sets.written(tmp_path / "work", lines)
    work = sets.opened(tmp_path / "work")
    (plan,) = await work.plan(FOLDER, sets.order())
    batch = sets.part(plan)
    told = sets.answered(0) + sets.failed(1) + sets.failed(2)
    await sets.collected(work, batch, told)
    await work.join(FOLDER, sets.join_order(batch))

    assert await work.reopen(FOLDER) == 2

    (again,) = await work.plan(FOLDER, sets.order(2, first_serial=2))
    assert (again.lo, again.hi, again.count) == (1, 3, 2)
    second = sets.part(again, 2)
    await sets.collected(work, second, sets.answered(1) + sets.failed(2, 7, "still"))
    await work.join(FOLDER, sets.join_order(second))
    errors = await _errors(tmp_path, 4)
    assert errors[1] is None
    assert errors[2] == {
        "code": 7,
        "status": "PERMISSION_DENIED",
        "message": "still",
        "history": [{"code": 3, "status": "INVALID_ARGUMENT", "message": "no"}],
    }


async def test_what_was_tried_as_often_as_can_be_counted_stays(tmp_path: Path) -> None:
    """The try counter of a request ends at 15: it is not reopened after that."""
    work, _ = await _planned(tmp_path)
    await work.settle_all(FOLDER, 13, "INTERNAL", "no")
    states = source.open_states(tmp_path / "work" / FOLDER, writable=True)
    states[0] |= 15 << GENERATION_SHIFT

    assert await work.reopen(FOLDER) == 5


async def test_a_request_larger_than_any_file_is_an_error_and_not_planned(tmp_path: Path) -> None:
    """It would never fit: it settles, the others go on, and planning again finds nothing new."""
    lines = sets.plain(3)
    lines[1] = sets.Line(b'"big"', b'{"contents":"%b"}' % (b"x" * 500))
    sets.written(tmp_path / "work", lines)
    work = sets.opened(tmp_path / "work")
    order = sets.order(limits=Limits(inline_max_bytes=0, file_max_bytes=200))

    parts = await work.plan(FOLDER, order)
    again = await work.plan(FOLDER, order)

    assert [(plan.lo, plan.hi, plan.count) for plan in parts] == [(0, 3, 2)]
    assert again == parts
    assert await work.open_count(FOLDER) == 2
    await work.settle_all(FOLDER, 1, "CANCELLED", "cancelled")
    assert "larger than the 200 bytes" in str((await _errors(tmp_path, 3))[1])


async def test_plans_keep_out_of_live_envelopes(tmp_path: Path) -> None:
    """No part touches, or spans, what a live batch may still answer."""
    sets.written(tmp_path / "work", sets.plain(30))
    work = sets.opened(tmp_path / "work")
    live = [(Ordinal(3), Ordinal(7)), (Ordinal(20), Ordinal(21))]

    parts = await work.plan(FOLDER, sets.order(live=live))

    assert [(plan.lo, plan.hi) for plan in parts] == [(0, 3), (7, 20), (21, 30)]


async def test_the_mark_and_the_session_are_there_until_taken_away(tmp_path: Path) -> None:
    """The mark of a create and the upload's secret URL are files of their own, 0600."""
    work, batch = await _planned(tmp_path)
    session = work.session(FOLDER, batch, 1)
    assert session.load() is None

    await work.mark_sent(FOLDER, batch.token)
    await session.save("https://upload/secret")

    assert await work.sent(FOLDER, batch.token)
    assert await work.pending(FOLDER, batch.token)
    assert list(await work.planned(FOLDER)) == [batch.token]
    assert work.session(FOLDER, batch, 1).load() == "https://upload/secret"
    (path,) = (tmp_path / "work" / FOLDER / "upload").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await work.unmark_sent(FOLDER, batch.token)
    session.forget()
    assert not await work.pending(FOLDER, batch.token)
    assert session.load() is None


async def test_a_plan_whose_requests_were_tried_is_no_longer_pending(tmp_path: Path) -> None:
    """Once its answers were joined, a sent plan asks for nothing."""
    work, batch = await _planned(tmp_path)
    await work.mark_sent(FOLDER, batch.token)
    await sets.collected(work, batch, b"".join(sets.failed(n, 13) for n in range(6)))
    await work.join(FOLDER, sets.join_order(batch))

    assert not await work.pending(FOLDER, batch.token)


async def test_a_download_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The sink knows its size across lives, and can begin anew."""
    work, batch = await _planned(tmp_path)
    work.answers(FOLDER, batch.token).append(b"half a li")

    sink = work.answers(FOLDER, batch.token)

    assert sink.size == 9
    sink.restart()
    assert sink.size == 0
    assert not await work.have_answers(FOLDER, batch.token)


@pytest.mark.parametrize("torn", [b'{"response":{"a":', b"\x00" * 9])
async def test_torn_answers_settle_nothing_until_told(tmp_path: Path, torn: bytes) -> None:
    """Answers cut short are for another download; taken as they are, the rest goes to the pool."""
    work, batch = await _planned(tmp_path)
    whole = b"".join(map(sets.answered, range(5)))
    await sets.collected(work, batch, whole + torn)

    first = await work.join(FOLDER, sets.join_order(batch))
    untouched = await work.open_count(FOLDER)
    await work.drop_answers(FOLDER, batch.token)
    gone = await work.have_answers(FOLDER, batch.token)
    await sets.collected(work, batch, whole + torn)
    second = await work.join(FOLDER, sets.join_order(batch, as_it_is=True))

    assert (first.whole, untouched, gone) == (False, 6, False)
    assert (second.whole, second.tally.answered, second.tally.missing) == (True, 5, 1)
    assert await work.open_count(FOLDER) == 1


async def test_a_broken_line_is_asked_for_again_before_it_is_an_error(tmp_path: Path) -> None:
    """What a disk lost of one answer the service still has: only the last try takes it as it is."""
    work, batch = await _planned(tmp_path)
    told = b"".join(map(sets.answered, range(6)))
    hurt = told.replace(b"yes 2", b"\x00\x00\x00\x00\x00")
    await sets.collected(work, batch, hurt)
    first = await work.join(FOLDER, sets.join_order(batch))
    await work.drop_answers(FOLDER, batch.token)
    await sets.collected(work, batch, told)

    second = await work.join(FOLDER, sets.join_order(batch))

    assert (first.whole, first.malformed) == (False, 1)
    assert (second.whole, second.tally.answered) == (True, 6)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(0, 5000), min_size=3, max_size=50),
    st.lists(st.floats(0, 1, exclude_max=True), max_size=5),
)
async def test_each_line_is_read_once_however_the_ranges_are_cut(
    tmp_path_factory: pytest.TempPathFactory, fillers: list[int], cuts: list[float]
) -> None:
    """A line belongs to the range in which it begins, wherever the ranges end."""
    root = tmp_path_factory.mktemp("ranges")
    token = IdempotencyKey("orc1-abcde-abcdefghij-1-abcdefghij")
    lengths = [*fillers, answers.STEP + 1000, *fillers, 10]
    frame = b'{"response":{"t":"%b"},"key":"%d"}\n'
    data = b"".join(frame % (b"x" * size, n) for n, size in enumerate(lengths))
    answer_files.sink(root, token).append(data)
    answer_files.keep(root, token)
    bounds = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})

    for number, span in enumerate(pairwise(bounds)):
        assert not answers.scan_range(root, token, number, span, 1 << 22).broken

    found = [
        np.fromfile(root / "answers" / f".{token}.found-{number}", FOUND)
        for number in range(len(bounds) - 1)
    ]
    assert np.concatenate(found)["ordinal"].tolist() == list(range(len(lengths)))
    assert sum(one["length"].sum() for one in found) == sum(lengths) + 8 * len(lengths)


async def test_strangers_among_the_answers_settle_nothing(tmp_path: Path) -> None:
    """Keys that were not asked for are counted, and nothing of that output is believed."""
    work, batch = await _planned(tmp_path)
    told = b"".join(map(sets.answered, range(7))) + b'{"response":{},"key":"mine"}\n'
    await sets.collected(work, batch, told)

    report = await work.join(FOLDER, sets.join_order(batch))

    assert (report.foreign, report.lines) == (2, 8)
    assert await work.open_count(FOLDER) == 6


async def test_an_overlong_answer_is_an_error_of_its_request(tmp_path: Path) -> None:
    """A line above the bound is never held in memory; its key is found at its end."""
    sets.written(tmp_path / "work", sets.plain(2))
    work = sets.opened(tmp_path / "work", line_bytes_max=1000)
    (plan,) = await work.plan(FOLDER, sets.order())
    batch = sets.part(plan)
    long = b'{"response":{"t":"%b"},"key":"1"}\n' % (b"x" * answers.STEP)
    await sets.collected(work, batch, long + sets.answered(0))

    report = await work.join(FOLDER, sets.join_order(batch))

    assert (report.tally.answered, report.tally.failed, report.malformed) == (1, 1, 1)
    assert "longer than what is accepted" in str((await _errors(tmp_path, 2))[1])


async def test_a_serial_given_twice_does_not_mix_answers_up(tmp_path: Path) -> None:
    """After a ledger was rolled back two batches may bear one serial: each keeps its answers."""
    sets.written(tmp_path / "work", sets.plain(6))
    work = sets.opened(tmp_path / "work")
    one, two = await work.plan(FOLDER, sets.order(requests_max=3))
    for plan in (one, two):
        batch = sets.part(plan)
        twin = Part(**{**{name: getattr(batch, name) for name in Part.__slots__}, "serial": 1})
        await sets.collected(work, twin, b"".join(map(sets.answered, range(plan.lo, plan.hi))))
        await work.join(FOLDER, sets.join_order(twin))

    assert await _errors(tmp_path) == [None] * 6
    found = sets.results(tmp_path / "outbox/done/results.jsonl")
    assert [str(n) in str(line["response"]) for n, line in enumerate(found)] == [True] * 6
