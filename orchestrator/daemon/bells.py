"""Which stage wakes when something was committed. A ring that is missed costs time only."""

from collections import defaultdict
from dataclasses import dataclass, field

from orchestrator.stages.loop import Bell
from orchestrator.store.journal import Recorded

ROOM = ("upload", "submit")
WAKES = {
    "planned": ("upload", "submit"),
    "uploaded": ("submit", "upload"),
    "submitting": ("reconcile",),
    "submitted": ("watch", *ROOM),
    "ended": ("collect", *ROOM),
    "collected": ("plan", "deliver", "tidy", *ROOM),
    "lapsed": ("plan", "deliver", "tidy", *ROOM),
    "received": (),
    "indexed": ("plan", "deliver"),
    "running": ("plan", "deliver"),
    "delivered": ("deliver", "tidy", "notify"),
    "rejected": ("notify", "deliver"),
    "cancelled": ("notify", "deliver", "tidy"),
}
OTHERWISE = ("plan", "upload", "submit", "reconcile", "collect", "deliver", "cancel", "notify")


@dataclass(frozen=True, slots=True)
class Bells:
    """One bell a stage."""

    by_stage: defaultdict[str, Bell] = field(default_factory=lambda: defaultdict(Bell))

    def of(self, stage: str) -> Bell:
        """Return the bell of a stage."""
        return self.by_stage[stage]

    def ring_all(self) -> None:
        """Wake every stage."""
        for bell in self.by_stage.values():
            bell.ring()

    def hear(self, recorded: Recorded) -> None:
        """Wake the stages that may have work after what was committed."""
        states = {move.after.state for move in recorded.moves}
        states |= {"planned"} if recorded.planned else set()
        if not states and not recorded.received and recorded.flagged:
            stages = set(OTHERWISE)
        else:
            stages = {stage for state in states for stage in WAKES[state]}
        for stage in sorted(stages):  # one order, so that one seed is one history
            self.by_stage[stage].ring()
