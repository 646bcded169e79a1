"""The words in which the tables state their demands.

Every constraint has a name by one convention, or no migration could drop it again.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Connection,
    Index,
    MetaData,
    Table,
    event,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def quoted(words: Iterable[str]) -> str:
    """Return words as the inside of an SQL list."""
    return ", ".join(f"'{word}'" for word in words)


def arrows(edges: Iterable[tuple[str, str]]) -> str:
    """Return edges as the inside of an SQL list of `source>target`."""
    return quoted(sorted(f"{source}>{target}" for source, target in edges))


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """Demand one of these words, or nothing where the column may be empty."""
    return CheckConstraint(f"{column} IN ({quoted(words)})", name=f"{column}_word")


def exactly_in(states: str, name: str, columns: str) -> CheckConstraint:
    """Demand that all of the columns are filled in these states and none in any other."""
    filled = " AND ".join(f"{column} IS NOT NULL" for column in columns.split())
    empty = " AND ".join(f"{column} IS NULL" for column in columns.split())
    inside = f"state IN ({quoted(states.split())})"
    return CheckConstraint(f"CASE WHEN {inside} THEN {filled} ELSE {empty} END", name=name)


def check(name: str, condition: str) -> CheckConstraint:
    """Demand the condition of every row."""
    return CheckConstraint(condition, name=name)


def one_where(name: str, condition: ColumnElement[bool], *columns: Column[Any]) -> Index:
    """Demand that the columns are unique among the rows for which the condition holds.

    PostgreSQL is told of the condition when it makes the table: an argument of its own would load
    all of its dialect here, too.
    """
    index = Index(name, *columns, unique=True, sqlite_where=condition)

    def tell(_table: Table, connection: Connection, **_: Any) -> None:
        if connection.dialect.name == "postgresql":
            index.dialect_options["postgresql"]["where"] = condition

    event.listen(columns[0].table, "before_create", tell)
    return index
