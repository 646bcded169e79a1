"""Names and messages of others, shown without letting them speak to the terminal or the log."""

import os

NAME_CHARACTERS_MAX = 200


def printable(text: str) -> str:
    """Return the text with everything that is not plainly visible written as an escape.

    Covers control characters, terminal escapes, line and paragraph separators, characters that
    turn the direction of text, and bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else _escape(character) for character in text
    )


def shown_name(name: str | bytes) -> str:
    """Return a file's name as it may be shown: visible, and at most 200 characters."""
    text = printable(os.fsdecode(name))
    if len(text) <= NAME_CHARACTERS_MAX:
        return text
    return text[: NAME_CHARACTERS_MAX - 1] + "…"


def _escape(character: str) -> str:
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:  # a byte that was no UTF-8
        return f"\\x{point - 0xDC00:02x}"
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"
