"""What is wrong with the surroundings, shown as long as it lasts."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.ports import Clock
from orchestrator.status.board import Board
from orchestrator.status.views import Condition

log = structlog.get_logger()
SPACE, DESCRIPTORS, READ_ONLY = "space", "descriptors", "read_only"
PASSING = frozenset({"doubtful_start", "model_check", "slow"})
REMEDY = "see the message; it is tried again by itself"
REMEDIES = {
    "doubtful_start": "nothing to do: jobs that the ledger may not know are looked for first",
    SPACE: "free some space; work goes on by itself",
    DESCRIPTORS: "raise LimitNOFILE= of the unit (or ulimit -n) and see what else has many files "
    "open on this machine; work goes on by itself",
    READ_ONLY: "see in the kernel's log why, and make it writable again; if it has to be "
    "unmounted for that, stop the daemon first: nothing is lost. Work goes on by itself",
    "model_check": "nothing to do: a model that cannot do it is refused at its first create",
    "notices": "see what the message says; correct [notify] and reload. It is told again by itself",
    "unreachable": "check the network, its proxy and gemini.base_url; work goes on by itself",
    "no_answers": "see what stands between here and gemini.base_url; it is asked for again",
    "all_failed": "read the errors in results.jsonl: the requests or the model may not fit",
    "slow": "nothing is lost: the service ends a job after 48 h and it is then sent again; "
    "`orchestrator cancel SET` if you do not want to wait",
}


@dataclass(frozen=True, slots=True)
class Conditions:
    """Tells the board and the log when something goes wrong and when it is well again."""

    board: Board
    clock: Clock

    def troubled(self, kind: str, subject: str, why: str | None) -> None:
        """Say that something is wrong, or (None) well again."""
        known = any(one.kind == kind and one.subject == subject for one in self.board.conditions)
        if why is None:
            if known:
                self.board.clear_condition(kind, subject)
                log.info("daemon.recovered", condition=kind, subject=subject)
            return
        remedy = REMEDIES.get(kind, REMEDY)
        condition = Condition(
            kind=kind,
            subject=subject,
            message=why,
            remedy=remedy,
            since=self.clock.now(),
            fatal=False,
            passing=kind in PASSING,
        )
        self.board.raise_condition(condition)
        if not known:
            log.warning("daemon.degraded", condition=kind, subject=subject, why=why, remedy=remedy)

    def watched(self, room: Callable[[], str | None]) -> Callable[[], str | None]:
        """Return `room`, with what it says shown."""

        def look() -> str | None:
            why = room()
            self.troubled(SPACE, "", why)
            return why

        return look
