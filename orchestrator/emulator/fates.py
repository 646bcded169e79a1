"""How a job will go when its create met faults."""

from collections.abc import Callable, Iterable

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.job import CANCELLED, EXPIRED, FAILED, Fate


def doomed(fate: Fate, fired: Iterable[Fault]) -> Fate:
    """Change how a job will go by the faults that its create met."""
    for fault in fired:
        change = _CHANGES.get(fault.do)
        if change is not None:
            change(fate, fault)
    return fate


def _fail(fate: Fate, fault: Fault) -> None:
    fate.end, fate.code, fate.message = FAILED, fault.code or 13, fault.message
    fate.details = list(fault.details)


def _expire(fate: Fate, _fault: Fault) -> None:
    fate.end = EXPIRED


def _cancelled(fate: Fate, _fault: Fault) -> None:
    fate.end = CANCELLED


def _stuck(fate: Fate, fault: Fault) -> None:
    fate.stuck = True
    fate.never_runs = fault.text == "pending"


def _state(fate: Fate, fault: Fault) -> None:
    fate.unknown_state = fault.text or "BATCH_STATE_PAUSED"


def _timing(fate: Fate, fault: Fault) -> None:
    if fault.pending_seconds is not None:
        fate.pending = fault.pending_seconds
    if fault.running_seconds is not None:
        fate.running = fault.running_seconds
    fate.skip_running = fate.skip_running or fault.text == "skip running"


def _vanish(fate: Fate, fault: Fault) -> None:
    fate.vanish_after = fault.seconds


def _late_output(fate: Fate, fault: Fault) -> None:
    fate.output_after = fault.seconds


def _hide_new(fate: Fate, fault: Fault) -> None:
    fate.hide_for = fault.seconds


def _lag_get(fate: Fate, fault: Fault) -> None:
    fate.get_lag = fault.seconds


def _shuffle(fate: Fate, _fault: Fault) -> None:
    fate.shuffle = True


def _cut_last_line(fate: Fate, _fault: Fault) -> None:
    fate.cut_last_line = True


def _partial(fate: Fate, fault: Fault) -> None:
    fate.served_fraction = fault.fraction


def _skew(fate: Fate, fault: Fault) -> None:
    fate.skew = fault.seconds


_CHANGES: dict[str, Callable[[Fate, Fault], None]] = {
    "fail": _fail,
    "expire": _expire,
    "cancelled": _cancelled,
    "stuck": _stuck,
    "state": _state,
    "timing": _timing,
    "vanish": _vanish,
    "late_output": _late_output,
    "hide_new": _hide_new,
    "lag_get": _lag_get,
    "shuffle": _shuffle,
    "cut_last_line": _cut_last_line,
    "partial": _partial,
    "skew": _skew,
}
