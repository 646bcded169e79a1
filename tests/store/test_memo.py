"""Answers that still hold: asked once between two changes, and never older than a change."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event

from orchestrator.store import incidents
from orchestrator.store.database import Database, InlineDatabase, Tx
from orchestrator.store.memo import KEPT_MAX, MISSING, Memo, key_of
from tests.store.conftest import MIGRATIONS
from tests.store.values import NOW


@pytest.fixture(params=[Database, InlineDatabase])
async def ledger(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Database | InlineDatabase]:
    """Open a new ledger of each kind."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    opened = await request.param.open(url, migrations=MIGRATIONS, now=NOW)
    yield opened
    await opened.close()


def asked(ledger: Database | InlineDatabase) -> list[str]:
    """Listen to the statements that reach SQLite."""
    heard: list[str] = []
    engine = getattr(ledger._engine, "sync_engine", ledger._engine)

    @event.listens_for(engine, "before_cursor_execute")
    def hear(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        heard.append(statement)

    return heard


def count(tx: Tx) -> list[str]:
    """Ask the ledger something."""
    return [str(one.detail) for one in incidents.all(tx)]


def book(tx: Tx, detail: str) -> None:
    """Change the ledger."""
    incidents.book(tx, NOW, "test", None, detail, 1, 0)


async def test_a_question_is_asked_once_between_two_changes(
    ledger: Database | InlineDatabase,
) -> None:
    """The second look costs no statement; after a change the next look sees it."""
    assert await ledger.read(count) == []
    heard = asked(ledger)
    assert await ledger.read(count) == []
    assert heard == []

    await ledger.transact(book, "a")

    assert await ledger.read(count) == ["a"]


async def test_what_a_caller_does_to_an_answer_stays_its_own(
    ledger: Database | InlineDatabase,
) -> None:
    """An answer that is changed by who asked is whole for who asks next."""
    (await ledger.read(count)).append("spoilt")

    assert await ledger.read(count) == []


async def test_an_answer_that_a_change_overtook_is_not_kept(
    ledger: Database | InlineDatabase,
) -> None:
    """Reads and changes side by side: who asks after a change was acknowledged sees it."""
    seen: list[int] = []

    async def look() -> None:
        known = 0
        for _ in range(40):
            now = len(await ledger.read(count))
            assert now >= known
            known = now
            seen.append(now)
            await asyncio.sleep(0)

    async def change(number: int) -> None:
        for turn in range(10):
            await ledger.transact(book, f"{number}.{turn}")
            before = len(await ledger.read(count))
            assert f"{number}.{turn}" in await ledger.read(count)
            assert len(await ledger.read(count)) >= before

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(look())
            group.create_task(change(number))

    assert max(seen) <= 30
    assert len(await ledger.read(count)) == 30


async def test_a_failed_change_leaves_the_answers_right(
    ledger: Database | InlineDatabase,
) -> None:
    """What was rolled back is not remembered either."""

    def fail(tx: Tx) -> None:
        book(tx, "undone")
        raise ValueError("no")

    await ledger.read(count)
    with pytest.raises(ValueError, match="no"):
        await ledger.transact(fail)

    assert await ledger.read(count) == []


def test_only_what_sees_nothing_but_the_ledger_is_kept() -> None:
    """A closure, a method and what cannot be compared are asked each time."""
    outside = 1

    def closure(_tx: Tx) -> int:
        return outside

    assert key_of(count, (), {}) is not None
    assert key_of(count, ("a",), {}) != key_of(count, ("b",), {})
    assert key_of(closure, (), {}) is None
    assert key_of("".join, (), {}) is None
    assert key_of(count, ([],), {}) is None


def test_few_answers_are_kept_and_the_oldest_go() -> None:
    """It does not grow with the questions that are asked."""
    memo = Memo()
    for number in range(KEPT_MAX + 1):
        memo.keep(number + 1, 0, f"answer {number}")

    assert memo.get(1) is MISSING
    assert memo.get(2) == "answer 1"
    memo.changed()
    assert memo.get(2) is MISSING
    memo.keep(2, 0, "late")
    assert memo.get(2) is MISSING
