"""What becomes of an error that no stage expects.

Trouble: where nothing is safe any more (the disk fails, the ledger cannot be trusted) the error
ends the daemon. What passes, a full disk or a folder that may not be read is shown and tried again.
A set that makes a stage fail again and again is held; the others go on.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from orchestrator.daemon.conditions import SPACE
from orchestrator.domain.ids import SetId
from orchestrator.ports import Project
from orchestrator.service import host
from orchestrator.store.errors import LedgerError

log = structlog.get_logger()
CRASHES_MAX = 3
FAIL_STOP = frozenset({errno.EIO, errno.EROFS})


@dataclass(frozen=True, slots=True)
class Crashes:
    """Hears of what fails in a stage, and that it is well again (or not to be done any more)."""

    project: Project
    troubled: Callable[[str, str, str | None], None]
    passes: Callable[[Exception], bool]

    def recovered(self, stage: str, name: str) -> None:
        """Show it no longer."""
        for kind in (stage, SPACE):
            self.troubled(kind, name, None)

    async def crashed(
        self, stage: str, name: str, item: object, error: Exception, times: int
    ) -> None:
        """Say what failed; hold the set that fails again and again; end when nothing is safe."""
        number, passing = getattr(error, "errno", None), self.passes(error)
        if not passing and (isinstance(error, LedgerError) or number in FAIL_STOP):
            raise error
        said = f"{type(error).__name__}: {error}"
        trace = not isinstance(error, OSError)
        if trace or times.bit_count() == 1:  # what is tried every few seconds is told ever seldomer
            log.error(
                "stage.failed", stage=stage, item=name, why=said, failures=times, exc_info=trace
            )
        if passing:
            return
        if isinstance(error, OSError):
            kind = SPACE if number in host.NO_ROOM else stage
            self.troubled(kind, name, f"{error.strerror}: {error.filename or name}")
            return
        self.troubled(stage, name, f"{stage} failed: {said}")
        set_id = _set_of(item)
        if times >= CRASHES_MAX and set_id is not None:
            await self.project.hold(set_id, f"crashed: {stage} failed {times} times ({said})")


def _set_of(item: object) -> SetId | None:
    part = getattr(item, "part", None)
    if part is not None:
        return SetId(part.request_set)
    return SetId(item) if isinstance(item, str) and len(item) == 10 else None
