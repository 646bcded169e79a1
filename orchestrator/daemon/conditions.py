"""What is wrong with the surroundings, shown as long as it lasts."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.ports import Clock
from orchestrator.status.board import Board
from orchestrator.status.views import Condition

log = structlog.get_logger()
SPACE = "space"
REMEDY = "see the message; it is tried again by itself"


@dataclass(frozen=True, slots=True)
class Conditions:
    """Tells the board and the log when something goes wrong and when it is well again."""

    board: Board
    clock: Clock

    def troubled(self, what: str, why: str | None) -> None:
        """Say that something is wrong, or (None) well again."""
        known = any(one.kind == what for one in self.board.conditions)
        if why is None:
            if known:
                self.board.clear_condition(what)
                log.info("daemon.recovered", condition=what)
            return
        condition = Condition(
            kind=what, subject="", message=why, remedy=REMEDY, since=self.clock.now(), fatal=False
        )
        self.board.raise_condition(condition)
        if not known:
            log.warning("daemon.degraded", condition=what, why=why, remedy=REMEDY)

    def watched(self, room: Callable[[], str | None]) -> Callable[[], str | None]:
        """Return `room`, with what it says shown."""

        def look() -> str | None:
            why = room()
            self.troubled(SPACE, why)
            return why

        return look
