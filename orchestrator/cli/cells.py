"""How wide text is on a terminal, where some characters take two cells and some none."""

from unicodedata import category, east_asian_width

ELLIPSIS = "…"
TAIL_CELLS = 8  # kept of what is cut: names often differ at their ends only
WIDE = frozenset({"W", "F"})
WITHOUT_WIDTH = frozenset({"Mn", "Me", "Cf"})


def width(text: str) -> int:
    """Return how many cells a text takes."""
    return len(text) if text.isascii() else sum(map(_cells, text))


def padded(text: str, cells: int) -> str:
    """Return the text with blanks behind it, so many cells wide at least."""
    return text + " " * (cells - width(text))


def cut(text: str, cells: int) -> str:
    """Return the text if it is no wider than so many cells, else its beginning and its end."""
    if width(text) <= cells:
        return text
    tail = _last(text, min(TAIL_CELLS, cells // 3))
    return f"{_first(text, cells - width(ELLIPSIS) - width(tail))}{ELLIPSIS}{tail}"


def _cells(character: str) -> int:
    if category(character) in WITHOUT_WIDTH:
        return 0
    return 2 if east_asian_width(character) in WIDE else 1


def _first(text: str, cells: int) -> str:
    taken = 0
    for place, character in enumerate(text):
        taken += _cells(character)
        if taken > cells:
            return text[:place]
    return text


def _last(text: str, cells: int) -> str:
    return _first(text[::-1], cells)[::-1]
