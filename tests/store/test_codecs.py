"""Rows and values."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import pytest
from hypothesis import given, strategies as st
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from orchestrator.domain.batches import Batch, Lapsed, LapseReason, confirm, end, intend, lapse
from orchestrator.domain.ids import JobName
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.request_sets import Flags, RequestSet
from orchestrator.store import batches as batch_rows
from orchestrator.store.codecs import (
    BATCH_COLUMNS,
    FLAG_COLUMNS,
    SET_COLUMNS,
    batch_row,
    batch_value,
    flags_row,
    flags_value,
    set_row,
    set_value,
)
from orchestrator.store.columns import Words
from orchestrator.store.database import InlineDatabase
from orchestrator.store.tables import batches, request_sets
from orchestrator.store.transitions import apply
from tests.store.values import (
    ACCOUNT,
    NOW,
    batches_in_every_state,
    planned,
    receive,
    set_info,
    sets_in_every_state,
    start,
)

st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
EVERY_BATCH: st.SearchStrategy[Batch] = st.from_type(cast(Any, Batch))
EVERY_SET: st.SearchStrategy[RequestSet] = st.from_type(cast(Any, RequestSet))


@given(EVERY_BATCH)
def test_encode_and_decode_are_inverse_for_a_batch_in_any_state(batch: Batch) -> None:
    """What a batch's row says is the batch, whatever its state and values."""
    assert batch_value(batch_row(batch)) == batch


@given(EVERY_SET, st.from_type(Flags))
def test_encode_and_decode_are_inverse_for_a_set_in_any_state(
    request_set: RequestSet, flags: Flags
) -> None:
    """What a set's row says is the set and what lies upon it."""
    row = {**set_row(request_set), **flags_row(flags)}

    assert set_value(row) == request_set
    assert flags_value(row) == flags


@given(EVERY_BATCH, EVERY_SET)
def test_a_row_always_has_the_same_columns(batch: Batch, request_set: RequestSet) -> None:
    """Encoding clears the columns that the state does not have."""
    assert batch_row(batch).keys() == set(BATCH_COLUMNS)
    assert set_row(request_set).keys() == set(SET_COLUMNS)


def test_every_column_of_the_tables_belongs_to_a_codec() -> None:
    """Only the id, the cost and the time of the last change are kept beside the values."""
    assert set(batches.c.keys()) - set(BATCH_COLUMNS) == {"id", "cost_micros"}
    assert set(request_sets.c.keys()) - {*SET_COLUMNS, *FLAG_COLUMNS} == {"updated_at"}


def test_a_state_that_nobody_knows_is_our_own_mistake() -> None:
    """A row with an unknown state crashes rather than becoming something else."""
    row = {**batch_row(planned()), "state": "lost"}

    with pytest.raises(AssertionError, match="'lost'"):
        batch_value(row)
    with pytest.raises(AssertionError, match="'lost'"):
        set_value({**set_row(sets_in_every_state(set_info())[0]), "state": "lost"})


async def test_the_database_gives_back_what_it_was_given(ledger: InlineDatabase) -> None:
    """Every state of a batch and of a set survives the file, moments to the microsecond."""
    every_batch = batches_in_every_state(planned(of=set_info("set-0")))
    every_set = [
        value
        for number in range(len(sets_in_every_state(set_info())))
        for value in [sets_in_every_state(set_info(f"set-{number}"))[number]]
    ]

    def write(tx):
        for value in every_set:
            row = {**set_row(value), **flags_row(Flags()), "updated_at": NOW}
            tx.execute(request_sets.insert().values(row))
        found = [set_value(row) for row in tx.execute(request_sets.select()).mappings()]
        assert found == every_set
        for batch in every_batch:
            tx.execute(batches.insert().values(batch_row(batch)))
            row = tx.execute(batches.select()).mappings().one()
            assert batch_value(row) == batch
            tx.exec_driver_sql("DROP TRIGGER IF EXISTS batches_keep")
            tx.execute(batches.delete())

    await ledger.transact(write)


async def test_moments_are_kept_in_utc(ledger: InlineDatabase) -> None:
    """A moment of another zone comes back as the same moment in UTC."""
    abroad = NOW.astimezone(timezone(timedelta(hours=9)))

    await ledger.transact(receive, set_info(received_at=abroad))

    stored = (await ledger.read(lambda tx: tx.execute(request_sets.select()).one())).received_at
    assert stored == NOW
    assert stored.tzinfo is UTC


@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_words_of_others_can_always_be_stored(words: str) -> None:
    """Whatever a service wrote is kept as text that can be encoded, whole where it can be."""
    stored = Words().process_bind_param(words, sqlite_dialect())

    assert stored is not None
    assert stored.encode().decode() == stored
    assert stored == words or any("\ud800" <= letter <= "\udfff" for letter in words)


async def test_half_a_character_does_not_stop_a_move(ledger: InlineDatabase) -> None:
    """A message that JSON carried and UTF-8 cannot is recorded, and its batch goes on."""
    intent = intend(planned(), NOW, ACCOUNT, 1)
    confirmed = confirm(intent.after, JobName("batches/1"), NOW, "")
    ended = end(confirmed.after, JobState.FAILED, JobError(13, "half \ud83d"), NOW)
    lapsed = lapse(ended.after, LapseReason.FAILED, NOW, "half \ud83d")
    await ledger.transact(start, set_info(), planned())

    await ledger.transact(apply, NOW, intent, confirmed, ended, lapsed)

    stored = await ledger.read(batch_rows.get, planned().part.token)
    assert isinstance(stored, Lapsed)
    assert stored.detail == r"half \ud83d"


async def test_nothing_is_stored_as_nothing(ledger: InlineDatabase) -> None:
    """An empty column of words and of time comes back empty."""
    await ledger.transact(start, set_info(), planned())

    stored = await ledger.read(batch_rows.get, planned().part.token)

    assert stored == planned()


async def test_a_naive_moment_is_refused(ledger: InlineDatabase) -> None:
    """Nobody knows when a time without a zone was."""
    naive = set_info(received_at=NOW.replace(tzinfo=None))

    with pytest.raises(Exception, match="has no time zone"):
        await ledger.transact(receive, naive)
