"""Questions compiled once answer as SQLAlchemy itself would."""

from datetime import timedelta

import pytest
from sqlalchemy import Integer, Select, bindparam, select

from orchestrator.domain.ids import SetId
from orchestrator.store import batches, notices
from orchestrator.store.columns import one_of
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.question import Question
from orchestrator.store.tables import batches as batch_table, notices as notice_table
from tests.store.values import NOW

LATER = NOW + timedelta(microseconds=1)


def by_sqlalchemy(tx: Tx, /, query: Select[tuple[object, ...]], **asked: object) -> list[object]:
    return [dict(row) for row in tx.execute(query, asked).mappings()]


async def test_answers_are_those_of_sqlalchemy(ledger: InlineDatabase) -> None:
    """Values given, values built in and every kind of column come out the same on both ways."""
    query = (
        select(notice_table)
        .where(
            one_of(notice_table.c.kind, "held", "delivered"),
            notice_table.c.due_at <= bindparam("now"),
        )
        .order_by(notice_table.c.id.desc())
        .limit(bindparam("most", type_=Integer))
    )
    for kind in ("held", "delivered", "lost"):
        await ledger.transact(notices.enqueue, NOW, kind, None, "{}")

    expected = await ledger.read(by_sqlalchemy, query, now=NOW, most=5)
    answer = await ledger.read(Question(query).mappings, now=NOW, most=5)

    assert [one["kind"] for one in answer] == ["delivered", "held"]
    assert answer == expected
    assert answer[0]["due_at"] == NOW
    assert await ledger.read(Question(query).rows, now=NOW, most=1) == [tuple(answer[0].values())]


async def test_a_question_is_asked_with_other_values_each_time(ledger: InlineDatabase) -> None:
    """What one asker gave is not kept for the next."""
    due = Question(select(notice_table.c.id).where(notice_table.c.due_at <= bindparam("now")))
    number = await ledger.transact(notices.enqueue, LATER, "held", None, "{}")

    assert await ledger.read(due.scalars, now=NOW) == []
    assert await ledger.read(due.scalars, now=LATER) == [number]
    assert await ledger.read(due.scalars, now=NOW) == []


async def test_it_sees_its_own_transaction_and_nothing_of_one_undone(
    ledger: InlineDatabase,
) -> None:
    """It runs on the transaction's own connection."""
    kinds = Question(select(notice_table.c.kind))

    def enqueue_and_fail(tx: Tx) -> None:
        notices.enqueue(tx, NOW, "held", None, "{}")
        assert kinds.scalars(tx) == ["held"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ledger.transact(enqueue_and_fail)

    assert await ledger.read(kinds.scalars) == []


async def test_an_in_is_refused(ledger: InlineDatabase) -> None:
    """An IN would have to be spelt out anew for each list of values."""
    states = Question(select(batch_table.c.id).where(batch_table.c.state.in_(["planned"])))

    with pytest.raises(TypeError, match="one_of"):
        await ledger.read(states.rows)


async def test_a_missing_value_is_a_mistake_of_ours(ledger: InlineDatabase) -> None:
    """Nothing is asked with a value that nobody gave."""
    with pytest.raises(KeyError):
        await ledger.read(batches._OF_SET.rows, other=SetId("nobody"))
