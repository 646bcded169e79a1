"""How long what was refused is left alone: longer each time in a row."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(slots=True)
class Rests:
    """How often in a row something was refused, and until when (elapsed seconds) it rests.

    Refusals of calls that were under way together are one time.
    """

    times: dict[str, int] = field(default_factory=dict)
    until: dict[str, float] = field(default_factory=dict)

    def begin(self, name: str, now: float, patience: Callable[[int], timedelta]) -> None:
        """Note a refusal; `patience` says how long to wait after n times in a row."""
        if self.until.get(name, now) <= now:
            self.times[name] = self.times.get(name, 0) + 1
        wait = patience(self.times[name]).total_seconds()
        self.until[name] = max(self.until.get(name, now), now + wait)

    def end(self, name: str) -> None:
        """Note that it is served again."""
        self.times.pop(name, None)
        self.until.pop(name, None)

    def holds(self, name: str, now: float) -> bool:
        """Tell whether something is to be left alone now."""
        return self.until.get(name, now) > now

    def __contains__(self, name: object) -> bool:
        """Tell whether something was refused and not served since."""
        return name in self.times
