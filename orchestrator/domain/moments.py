"""Moments as they are written for others (RFC 3339 in UTC, with a Z), and the days they are of."""

from datetime import UTC, datetime


def written(moment: datetime) -> str:
    """Write a moment as `2026-03-01T12:00:00Z`, with microseconds where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def midnight(moment: datetime) -> datetime:
    """Return when the day of a moment began: days are those of UTC."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
