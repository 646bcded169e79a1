"""Lines and a table on a terminal: all of it, or what fits and how much more there is.

A live display cannot scroll: what does not fit would be cut off without a word.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orchestrator.cli import screen, tables
from orchestrator.cli.tables import View

if TYPE_CHECKING:
    from rich.console import Console

HEAD_LINES = 2  # of a table
ROWS_MIN = 3
NAME_SHARE = 4  # a name may have that part of the width
NAME_CELLS_MIN = 12
OVER = frozenset({"collected", "lapsed"})


@dataclass(frozen=True, slots=True)
class Sheet:
    """A terminal to draw on; `height` is None where it scrolls."""

    console: "Console"
    height: int | None = None

    def lines(self, lines: Sequence[str]) -> Any:
        """Draw lines alone."""
        return self._page(lines, (), lambda _: None, lambda _: True, "")

    def sets(self, above: Sequence[str], views: Sequence[View], now: datetime) -> Any:
        """Draw lines, and below them the table of sets as of now."""
        if not views:
            return self.lines([*above, "no sets yet"])
        width = self.console.width
        cells = max(NAME_CELLS_MIN, width // NAME_SHARE)

        def table(kept: Sequence[View]) -> Any:
            rows = tables.set_rows(kept, now, min(cells, tables.NAME_CELLS_MAX))
            columns, optional = tables.SET_COLUMNS, tables.SET_COLUMNS_OPTIONAL
            return screen.table(columns, rows, tables.STATE_COLUMN, width, optional)

        return self._page(above, views, table, lambda view: view["finished_at"] is None, "sets")

    def batches(self, above: Sequence[str], views: Sequence[View]) -> Any:
        """Draw lines, and below them the table of batches."""

        def table(kept: Sequence[View]) -> Any:
            rows = [tables.batch_row(view) for view in kept]
            state = tables.BATCH_COLUMNS.index("STATE")
            return screen.table(tables.BATCH_COLUMNS, rows, state, self.console.width)

        if not views:
            return self.lines(above)
        return self._page(above, views, table, lambda view: view["state"] not in OVER, "batches")

    def _page(
        self,
        above: Sequence[str],
        views: Sequence[View],
        table: Callable[[Sequence[View]], Any],
        is_going: Callable[[View], bool],
        what: str,
    ) -> Any:
        """Draw what fits; of the views those that go on come before those that are over."""
        from rich.console import Group
        from rich.text import Text

        said = self._fitting(above, self._reserved(len(views)))
        texts = [Text(line, style="bold red" if line.startswith("!") else "") for line in said]
        if not views:
            return Group(*texts)
        by_rank = sorted(range(len(views)), key=lambda place: not is_going(views[place]))
        count = len(views)
        while True:
            kept = [views[place] for place in sorted(by_rank[:count])]
            more = [Text(f"and {len(views) - count} more {what}")] if count < len(views) else []
            drawn = Group(*texts, table(kept), *more)
            too_many = self._lines(drawn) - self.height if self.height is not None else 0
            if too_many <= 0 or count == 1:
                return drawn
            count = max(1, count - too_many)

    def _reserved(self, rows: int) -> int:
        """Return the lines that are kept for a table of so many rows."""
        if self.height is None or not rows:
            return 0
        return HEAD_LINES + 1 + min(rows, max(ROWS_MIN, self.height // 2))

    def _fitting(self, lines: Sequence[str], reserved: int) -> Sequence[str]:
        """Return the first lines, as many as leave room for what is reserved; one at least."""
        if self.height is None:
            return lines
        room = self.height - reserved
        if sum(map(self._lines, lines)) <= room:
            return lines
        used = 1  # the last line, which says how many there are more
        for place, line in enumerate(lines):
            used += self._lines(line)
            if place and used > room:
                return [*lines[:place], f"and {len(lines) - place} more: orchestrator status"]
        return lines

    def _lines(self, drawn: Any) -> int:
        from rich.text import Text

        shown = Text(drawn) if isinstance(drawn, str) else drawn
        return len(self.console.render_lines(shown))
