"""The room put together: what the daemon makes once and hands around."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.ports import Clock
from orchestrator.status.api import Api
from orchestrator.status.board import Board, Project
from orchestrator.status.connections import Bounds, Gate
from orchestrator.status.control import Control
from orchestrator.status.feed import Feed, LedgerHistory
from orchestrator.status.gauges import BoardGauges
from orchestrator.status.lag import watch_lag
from orchestrator.status.metrics import Metrics
from orchestrator.status.recent import Recent
from orchestrator.status.server import serving
from orchestrator.status.sets_shown import Cost
from orchestrator.store.database import Ledger


@dataclass(frozen=True, slots=True)
class Process:
    """The process as it shows itself."""

    version: str
    pid: int
    started_at: datetime


class StatusRoom:
    """The board, the metrics, the feed between them and the ledger, and the server over them.

    The daemon runs `feed.run(bell)` and `watch_lag()` in its TaskGroup and serves for as long as
    it lives. `board` and `metrics` are told by whoever knows something.
    """

    def __init__(
        self,
        process: Process,
        projects: Sequence[Project],
        cost: Cost,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self.board = Board(process.version, process.pid, process.started_at, projects, cost)
        self.metrics = Metrics()
        self.metrics.registry.register(BoardGauges(self.board, clock))
        self.recent = Recent()
        self.feed = Feed(ledger, self.board, self.recent, self.metrics, clock)

    def serving(
        self,
        control: Control,
        path: Path,
        group: str | None = None,
        bounds: Bounds | None = None,
    ) -> AbstractAsyncContextManager[None]:
        """Answer on a Unix socket at `path` while the context lasts. Raises SocketRefused."""
        gate = Gate(bounds or Bounds())
        history = LedgerHistory(self._ledger, self.board, self._clock)
        wait = gate.bounds.history_seconds
        api = Api(self.board, self.recent, self.metrics, history, control, self._clock, wait)
        return serving(api, self.recent, self.metrics, path, group, gate)

    async def watch_lag(self) -> None:
        """Measure for ever how late the event loop is."""
        await watch_lag(self._lagged)

    def _lagged(self, seconds: float) -> None:
        self.board.lag_seconds = seconds
        self.metrics.lagged(seconds)
