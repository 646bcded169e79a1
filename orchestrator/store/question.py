"""Questions that are asked again and again: compiled once, run on the driver's own cursor.

SQLAlchemy writes the SQL and knows the types. What it does around each single execution costs
several times what SQLite takes for the answer, and stages look at the ledger all day.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import CompoundSelect, Connection, Dialect, Select

Process: TypeAlias = Callable[[Any], Any]
Statement: TypeAlias = Select[Any] | CompoundSelect[Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """SQL for one dialect. `parameters` are (name, value if fixed, process) in their order."""

    sql: str
    parameters: tuple[tuple[str, Any, Process | None], ...]
    keys: tuple[str, ...]
    processes: tuple[tuple[int, Process], ...]


_ASKED: Final = object()  # in place of a value: it comes with the question


class Question:
    """A SELECT that was built once; what it was built with as `bindparam` is given when asked.

    Inside a transaction only, like any other statement. Its errors are the driver's.
    """

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, tx: Connection, /, **asked: Any) -> list[tuple[Any, ...]]:
        """Return the rows as tuples, in the columns' order."""
        return self._ask(tx, self._for(tx.dialect), asked)

    def mappings(self, tx: Connection, /, **asked: Any) -> list[dict[str, Any]]:
        """Return the rows by the columns' names."""
        compiled = self._for(tx.dialect)
        keys = compiled.keys
        return [dict(zip(keys, row, strict=True)) for row in self._ask(tx, compiled, asked)]

    def scalars(self, tx: Connection, /, **asked: Any) -> list[Any]:
        """Return the first column."""
        return [row[0] for row in self.rows(tx, **asked)]

    def _ask(self, tx: Connection, compiled: _Compiled, asked: dict[str, Any]) -> list[Any]:
        parameters = [
            (asked[name] if process is None else process(asked[name])) if value is _ASKED else value
            for name, value, process in compiled.parameters
        ]
        cursor = tx.connection.cursor()
        try:
            cursor.execute(compiled.sql, parameters)
            found = cursor.fetchall()
        finally:
            cursor.close()
        if not compiled.processes:
            return list(found)
        return [_processed(row, compiled.processes) for row in found]

    def _for(self, dialect: Dialect) -> _Compiled:
        known = self._compiled.get(dialect.name)
        if known is None:
            known = self._compiled[dialect.name] = _compile(self._statement, dialect)
        return known


def _processed(row: Sequence[Any], processes: tuple[tuple[int, Process], ...]) -> tuple[Any, ...]:
    values = list(row)
    for place, process in processes:
        values[place] = process(values[place])
    return tuple(values)


def _compile(statement: Statement, dialect: Dialect) -> _Compiled:
    written: Any = statement.compile(dialect=dialect)
    if written.post_compile_params:
        raise TypeError("an IN is spelt out anew at each run: write the question with one_of")
    given = written.construct_params(_check=False)
    parameters: list[tuple[str, Any, Process | None]] = []
    for name in written.positiontup:
        bind = written.binds[name]
        process = bind.type.dialect_impl(dialect).bind_processor(dialect)
        if bind.required:
            parameters.append((name, _ASKED, process))
        else:
            value = given[name] if process is None else process(given[name])
            parameters.append((name, value, None))
    processes = (
        (place, column.type.dialect_impl(dialect).result_processor(dialect, None))
        for place, column in enumerate(statement.selected_columns)
    )
    return _Compiled(
        str(written),
        tuple(parameters),
        tuple(statement.selected_columns.keys()),
        tuple((place, process) for place, process in processes if process is not None),
    )
