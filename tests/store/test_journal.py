"""Journal first, then tell."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from orchestrator.domain.batches import drop, intend
from orchestrator.domain.moments import written
from orchestrator.domain.request_sets import Indexed, Received, Totals, index, reject, reuse, start
from orchestrator.store import batches, incidents, lives, notices, request_sets
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.errors import LostLedger, StaleTransition
from orchestrator.store.journal import Journal, Recorded
from tests.store.values import ACCOUNT, NOW, planned, set_info, start as run

INFO = set_info()


@dataclass
class StillClock:
    """A clock that shows one moment."""

    def now(self) -> datetime:
        return NOW

    def elapsed(self) -> float:
        return 0.0

    async def sleep(self, duration: timedelta) -> None:
        raise AssertionError("nobody sleeps here")


@pytest.fixture
def heard() -> list[Recorded]:
    return []


@pytest.fixture
async def journal(ledger: InlineDatabase, heard: list[Recorded]) -> Journal:
    life = await ledger.transact(lives.begin_life, NOW, "boot")
    return Journal(ledger, StillClock(), life.epoch, [heard.append])


async def test_listeners_hear_of_what_was_committed(
    journal: Journal, heard: list[Recorded]
) -> None:
    """A new set, a move and a plan are each told once, after their commit."""
    moves = (index(Received(INFO)), start(Indexed(INFO), 1_000))

    await journal.receive(Received(INFO))
    await journal.record(moves[0])
    await journal.plan([planned()], moves[1])

    assert heard == [
        Recorded(NOW, received=(Received(INFO),)),
        Recorded(NOW, moves=moves[:1]),
        Recorded(NOW, moves=moves[1:], planned=(planned(),)),
    ]
    assert await journal.read(batches.get, planned().part.token) == planned()


async def test_nobody_hears_of_what_did_not_happen(journal: Journal, heard: list[Recorded]) -> None:
    """A stale move is told to nobody, and what belonged to it is not recorded either."""

    def also(tx: Tx) -> None:
        incidents.book(tx, NOW, "test", None, "with the move", 0, 0)

    with pytest.raises(StaleTransition):
        await journal.record(index(Received(INFO)), also=also)

    assert heard == []
    assert await journal.read(incidents.all) == []


async def test_what_belongs_to_a_move_is_recorded_with_it(journal: Journal) -> None:
    """The same transaction carries both."""
    await journal.receive(Received(INFO))

    def also(tx: Tx) -> None:
        incidents.book(tx, NOW, "test", None, "with the move", 0, 0)

    await journal.record(index(Received(INFO)), also=also)

    assert [one.detail for one in await journal.read(incidents.all)] == ["with the move"]


async def test_an_intent_needs_the_newest_life(
    journal: Journal, ledger: InlineDatabase, heard: list[Recorded]
) -> None:
    """Once another life began, this one may record what happened but intend nothing."""
    await ledger.transact(run, INFO, planned(1), planned(2))
    await ledger.transact(lives.begin_life, NOW, "boot")

    with pytest.raises(LostLedger):
        await journal.record(intend(planned(1), NOW, ACCOUNT, journal.epoch))
    assert heard == []

    await journal.record(drop(planned(2), NOW, "cancelled"))
    assert len(heard) == 1


async def test_other_changes_are_told_as_such(journal: Journal, heard: list[Recorded]) -> None:
    """The result of the work is handed through, and the listeners look again."""
    number = await journal.write(notices.enqueue, NOW, "blocked", None, "{}")

    assert [notice.id for notice in await journal.read(notices.due, NOW, 9)] == [number]
    assert heard == [Recorded(NOW, flagged=True)]


async def test_the_end_of_a_set_is_announced_with_it(journal: Journal) -> None:
    """The notice is journaled in the transaction that ends the set."""
    await journal.receive(Received(INFO))

    await journal.record(reject(Received(INFO), "too many flaws", NOW))

    (notice,) = await journal.read(notices.due, NOW, 9)
    assert (notice.kind, notice.set_id) == ("failed", INFO.id)
    assert json.loads(notice.body) == {
        "event": "failed",
        "at": written(NOW),
        "set": INFO.id,
        "name": "letters",
        "why": "too many flaws",
    }
    assert await journal.read(request_sets.open_sets) == []


async def test_a_delivery_is_announced_with_its_numbers(journal: Journal) -> None:
    """Where the results lie, how many there are; moves that end nothing announce nothing."""
    await journal.receive(Received(INFO))
    await journal.record(index(Received(INFO)))
    assert await journal.read(notices.due, NOW, 9) == []

    await journal.record(reuse(Indexed(INFO), Totals(990, 10), "5" * 64, NOW))

    (notice,) = await journal.read(notices.due, NOW, 9)
    assert notice.kind == "delivered"
    assert json.loads(notice.body) == {
        "event": "delivered",
        "at": written(NOW),
        "set": INFO.id,
        "name": "letters",
        "answered": 990,
        "failed": 10,
        "outbox": "letters",
    }


async def test_sets_without_a_question_are_accepted_together(
    journal: Journal, heard: list[Recorded]
) -> None:
    """Several new sets are received and accepted in one transaction, told once."""
    sets = [Received(INFO), Received(set_info("others"))]

    await journal.accept(sets)

    moves = tuple(index(one) for one in sets)
    assert heard == [Recorded(NOW, moves, received=tuple(sets))]
    for one in sets:
        stored = await journal.read(request_sets.get, one.info.id)
        assert stored is not None
        assert stored.value == Indexed(one.info)


async def test_a_plan_stands_only_with_what_must_be_true_for_it(
    journal: Journal, heard: list[Recorded]
) -> None:
    """What is demanded together with new batches undoes them if it does not hold."""
    await journal.receive(Received(INFO))
    heard.clear()

    def demand(_tx: Tx) -> None:
        raise StaleTransition("it was paused meanwhile")

    with pytest.raises(StaleTransition):
        await journal.plan([planned()], also=demand)

    assert heard == []
    assert await journal.read(batches.get, planned().part.token) is None
