"""The kinds of columns that the ledger is made of, for SQLite and PostgreSQL alike."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, ColumnElement, Dialect, Integer, Text, or_
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# SQLite counts up only for INTEGER PRIMARY KEY.
Serial = BigInteger().with_variant(Integer, "sqlite")


def one_of(column: ColumnElement[str], *values: str) -> ColumnElement[bool]:
    """Tell whether a column has one of a few values: IN, but not spelt out anew at each run."""
    return or_(*(column == value for value in values))


class Time(TypeDecorator[datetime]):
    """An aware moment, kept as microseconds since 1970: a third of a text's size, on any engine.

    `datetime(at / 1000000, 'unixepoch')` reads it by hand.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Refuse a naive time: nobody knows when it was."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Make it a moment in UTC again."""
        return None if value is None else EPOCH + value * MICROSECOND


class Words(TypeDecorator[str]):
    """Text that others wrote; a half of a character, which JSON may carry, is spelt out."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write what cannot be encoded as an escape: no database would take it."""
        if value is None or value.isascii():
            return value
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
