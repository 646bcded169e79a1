"""How long what was denied is left alone: longer each time, and all else for a while, too."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

ALL = ""


@dataclass(slots=True)
class Denials:
    """How often in a row, and until when (elapsed seconds): by name, and under ALL of any.

    Those of deletions that were under way together are one time.
    """

    times: dict[str, int] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, now: float, patience: Callable[[int], timedelta]) -> None:
        """Note a denial; `patience` says how long to wait after n times in a row."""
        for which in (name, ALL):
            if self.until.get(which, now) <= now:
                self.times[which] = self.times.get(which, 0) + 1
            wait = patience(self.times[which]).total_seconds()
            self.until[which] = max(self.until.get(which, now), now + wait)

    def end(self, name: str) -> None:
        """Note that the service deletes again."""
        for which in (name, ALL):
            self.times.pop(which, None)
            self.until.pop(which, None)

    def rests(self, name: str, now: float) -> bool:
        """Tell whether something is to be left alone now."""
        return any(self.until.get(which, now) > now for which in (name, ALL))
