"""Drawing on whatever is there: a terminal gets colours, anything else plain aligned lines."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli.cells import padded, width

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2  # what a table draws between two columns
COLOURS = {
    "running": "cyan",
    "reading": "cyan",
    "delivered": "green",
    "held": "bold red",
    "rejected": "red",
    "paused": "yellow",
    "cancelling": "yellow",
    "cancelled": "yellow",
}


def is_terminal() -> bool:
    """Tell whether somebody is looking at our output as it comes."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def console() -> "Console":
    """Return the terminal; NO_COLOR is honoured."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def say(line: str = "") -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def say_json(value: object) -> None:
    """Print a value as JSON."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def hint(line: str) -> None:
    """Tell the user something beside the output."""
    sys.stderr.write(f"{line}\n")


def aligned(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a plain table: columns padded to their widest cell, no lines drawn."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(width(line[place]) for line in lines) for place in range(len(columns))]
    return [
        "  ".join(padded(cell, wide) for cell, wide in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    coloured: int,
    room: int,
    optional: Sequence[str] = (),
) -> Any:
    """Return a table for so many cells; what is in column `coloured` is painted by its word.

    Of the columns named in `optional` those are left out for which there is no room; the first
    are the first to go.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    kept = fitting(columns, rows, room, optional)
    drawn = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
    )
    for place in kept:
        drawn.add_column(columns[place], overflow="fold")
    for row in rows:
        cells = [Text(cell) for cell in row]
        cells[coloured].stylize(COLOURS.get(row[coloured].split(" ")[0], ""))
        drawn.add_row(*(cells[place] for place in kept))
    return drawn


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], room: int, optional: Sequence[str]
) -> list[int]:
    """Return the places of the columns that fit side by side; those not optional always do."""
    cells = [
        GAP + max(width(line[place]) for line in (columns, *rows)) for place in range(len(columns))
    ]
    kept = {place for place, name in enumerate(columns) if name not in optional}
    for name in reversed(optional):
        place = columns.index(name)
        if sum(cells[each] for each in kept) + cells[place] - GAP <= room:
            kept.add(place)
    return sorted(kept)


def flush() -> None:
    """Hand on what was printed, also into a pipe."""
    sys.stdout.flush()
