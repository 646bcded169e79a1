"""Moments have one form, whoever writes them."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given, strategies as st
from pydantic import AwareDatetime, TypeAdapter

from orchestrator.domain.moments import written


@given(st.datetimes(timezones=st.just(UTC)))
def test_notices_and_the_socket_write_a_moment_alike(moment):
    """A notice, a summary and an answer of the status socket can be compared as text."""
    assert written(moment) == TypeAdapter(AwareDatetime).dump_python(moment, mode="json")


def test_a_moment_of_another_zone_is_written_in_utc():
    """Where the clock stood does not show."""
    there = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))

    assert written(there) == "2026-03-01T12:00:00Z"
