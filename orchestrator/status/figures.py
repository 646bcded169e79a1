"""Figures as they are shown."""

from datetime import datetime


def dollars(micros: int | None) -> str | None:
    """Write micro-dollars as a decimal string of dollars."""
    return None if micros is None else in_dollars(micros)


def in_dollars(micros: int) -> str:
    """Write an amount that is known."""
    sign, rest = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{rest // 1_000_000}.{rest % 1_000_000:06d}"


def seconds_between(earlier: datetime, later: datetime) -> int:
    """Return the whole seconds from one moment to another, at least 0: clocks do jump."""
    return max(0, int((later - earlier).total_seconds()))
