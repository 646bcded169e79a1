"""What surrounds the stages: time, chance, the account they work for, and who is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from orchestrator.domain.batches import Part, Usage
from orchestrator.domain.caps import Hold, Wait
from orchestrator.domain.evidence import Evidence
from orchestrator.domain.ids import (
    IdempotencyKey,
    SetId,
)
from orchestrator.domain.jobs import Scan
from orchestrator.domain.others import Others
from orchestrator.domain.policy import Limits
from orchestrator.domain.rests import Rests
from orchestrator.ports.trouble import Blocked

MINUTE = 60.0


class Clock(Protocol):
    """Two clocks: one to show, one to wait by."""

    def now(self) -> datetime:
        """Return the wall clock, aware UTC: for display and for slack of hours."""

    def elapsed(self) -> float:
        """Return seconds on a clock that never jumps and goes on through suspend."""

    async def sleep(self, duration: timedelta) -> None: ...


class Ids(Protocol):
    """The only source of chance."""

    def jitter(self) -> float:
        """Return a number in [0, 1)."""


@dataclass(slots=True)
class Sending:
    """What submissions remember within one life; a restart begins anew, which only waits longer.

    `now` are the creates under way; `failures` counts refusals to serve in a row; `fresh_after`
    tells since when a scan is due before a create may be repeated; `creates` when (elapsed seconds)
    those of the last minute were sent; `doubtful` and `fenced` when (elapsed seconds) a doubt and
    its fence began; `rests` are those of models for which the provider had no room. `waits_for`
    says why the first batch that is due may not start, None if none waits.
    """

    now: set[IdempotencyKey] = field(default_factory=set)
    failures: dict[IdempotencyKey, int] = field(default_factory=dict)
    fresh_after: dict[IdempotencyKey, float] = field(default_factory=dict)
    doubtful: dict[IdempotencyKey, float] = field(default_factory=dict)
    fenced: dict[IdempotencyKey, float] = field(default_factory=dict)
    creates: list[float] = field(default_factory=list)
    rests: Rests = field(default_factory=Rests)
    waits_for: str | None = None

    def room(self, now: float, per_minute: int) -> int:
        """Return how many creates may be sent now, so that no minute sees more than its limit."""
        self.creates = [at for at in self.creates if at > now - MINUTE]
        return max(per_minute - len(self.creates), 0)


class Project(Protocol):
    """The present condition of one account, shared by the stages and told by the daemon.

    What it says is advice and patience; what must hold is guarded by the ledger.
    """

    @property
    def evidence(self) -> Evidence:
        """What the job lists of this life prove."""

    @property
    def sending(self) -> "Sending":
        """What creates are under way in this life."""

    def obstacle(self) -> str | None:
        """Tell why nothing new may start at the provider now, None if it may."""

    def limits(self) -> Limits:
        """Return what the project may hold."""

    def token_limit(self, model: str) -> int | None:
        """Return the present limit of enqueued tokens of a model, None where none is known."""

    def others(self) -> Others:
        """Return what is active in the project beside our live batches."""

    def look_at(self, when: float) -> None:
        """Ask for a scan of the job list at this time (elapsed seconds) at the latest."""

    def next_scan(self) -> float:
        """Return when (elapsed seconds) the next scan is due."""

    def scanned(self, wait: timedelta | None) -> None:
        """Note that a scan was made; the next is due after `wait`, None for as seldom as may be."""

    def backed_off(self, wait: timedelta) -> None:
        """Note that a scan failed: nobody's wish brings the next one earlier."""

    def saw(self, scan: Scan, others: Others | None) -> None:
        """Note what a scan showed: states, and what others run (None: it was not complete)."""

    async def afford(self, part: Part) -> Hold | Wait | None:
        """Tell which cap on cost this batch would break, None if it may be paid.

        It waits where what is in flight has to tell its cost first.
        """

    async def too_early(self, parts: Sequence[Part]) -> frozenset[IdempotencyKey]:
        """Return those that a cap lets wait until what is in flight has told its cost."""

    async def price(self, part: Part, usage: Usage) -> int | None:
        """Return what this usage costs in millionths of a US dollar, None if no price is set."""

    async def block(self, blocked: Blocked, call: str) -> None:
        """Stop all submissions: this call was refused until the remedy was followed.

        From time to time one more try is let through, so that it goes on by itself.
        """

    async def accepted(self, call: str) -> None:
        """Note that this call is served (again); a create that is served ends every block."""

    async def ease(self, part: Part) -> None:
        """Ask for less of its model from now on: this batch was too much."""

    async def hold(self, request_set: SetId, why: str, until: datetime | None = None) -> None:
        """Start nothing new for a set until the operator has spoken; `why` says what to do.

        With `until` it goes on by itself then.
        """

    def report(self, kind: str, subject: str, why: str | None) -> None:
        """Show that something needs a look, as long as it lasts; None when it is well again."""

    async def book(self, kind: str, part: Part | None, detail: str) -> None:
        """Book an incident with its probable cost."""


class Notifier(Protocol):
    """Tells the operator's own programs."""

    async def send(self, number: int, kind: str, body: str) -> None:
        """Hand over one notice (JSON text). Raises Unavailable when it was not taken."""
