"""How long the answers of one batch are asked for again, until what they lack is believed.

What is believed to be missing is sent again, and paid again. Some lines that are missing are taken
for missing after a few downloads; with fewer lines than the job says have succeeded it is for a
person to decide. But an output in which not one line answers any of the requests may be no output
at all: a proxy's page, or an answer to something else. That is believed only when it has lasted.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

SHORTFALLS_MAX: Final = 3  # downloads that miss answers, the last of which is taken as it is
MUTE_WAITS: Final = 24  # longest pauses between two tries: six hours, unless settings say otherwise


@dataclass(slots=True)
class Patience:
    """What one batch has cost in tries, within one life. Times are seconds of a steady clock.

    `promised` is how many of its requests the job says have succeeded; 0 where it does not say.
    """

    not_before: float = 0.0
    failures: int = 0
    shortfalls: int = 0
    promised: int = 0
    mute_since: float | None = None

    def fell_short(self, now: float, *, answered: int) -> None:
        """Note a download that lacked answers and had `answered` lines for these requests."""
        self.shortfalls += 1
        if answered:
            self.mute_since = None
        elif self.mute_since is None:
            self.mute_since = now

    def is_at_an_end(self, now: float, longest_pause: timedelta) -> bool:
        """Tell whether the next download is to be taken as it is."""
        if self.shortfalls < SHORTFALLS_MAX - 1:
            return False
        if self.mute_since is None:
            return True
        return now - self.mute_since >= MUTE_WAITS * longest_pause.total_seconds()
