"""Numbers, spans of time, sizes and money as people read them."""

from datetime import datetime, timedelta
from decimal import Decimal

DASH = "-"


def count(number: int) -> str:
    """Write a number with thousands separators."""
    return f"{number:,}"


def span(seconds: float | None) -> str:
    """Write a length of time with its two largest units: `45s`, `12m`, `3h05m`, `2d04h`."""
    if seconds is None:
        return DASH
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 48 * 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02}h"


def standing(state: str, uptime: float) -> str:
    """Write what a daemon is and since when it runs; since when it is degraded is not known."""
    return f"{state} for {span(uptime)}" if state == "running" else f"{state}, up {span(uptime)}"


def size(number: float) -> str:
    """Write bytes in decimal units, as the service's limits are."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return (
                f"{number:.0f} {unit}" if unit == "B" or number >= 100 else f"{number:.1f} {unit}"
            )
        number /= 1000
    return f"{number:.1f} TB"


def short(number: int) -> str:
    """Write a large count with a unit: `950`, `12.3k`, `4.5M`."""
    for unit, step in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= step:
            return f"{number / step:.1f}{unit}"
    return str(number)


def money(dollars: str | Decimal | None) -> str:
    """Write US dollars in whole cents, small amounts with more digits: something is never $0.00."""
    if dollars is None:
        return DASH
    amount = Decimal(dollars)
    if not amount or abs(amount) >= Decimal("0.1"):
        return f"${amount:,.2f}"
    return f"${amount:.4f}" if abs(amount) >= Decimal("0.0001") else f"${amount:.6f}"


def percent(part: int, whole: int) -> str:
    """Write a share, never 100 % before everything is done."""
    if whole == 0:
        return "100%"
    return f"{min(99, part * 100 // whole) if part < whole else 100}%"


def until(moment: str | None, now: datetime) -> str:
    """Write how far away a moment (RFC 3339) is that was expected."""
    if moment is None:
        return DASH
    left = datetime.fromisoformat(moment) - now
    return f"in {span(left.total_seconds())}" if left > timedelta(0) else "overdue"


def bar(part: int, whole: int, width: int = 12) -> str:
    """Draw how much of the whole is done."""
    filled = width if whole == 0 else part * width // whole
    return "█" * filled + "░" * (width - filled)
