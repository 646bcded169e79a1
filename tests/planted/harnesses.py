"""The kinds of simulated world that planted bugs are let loose in, each until its first finding."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.settings import HOUR
from tests.judging.drops import EMBED_MODEL, MODEL, Drop
from tests.planted.checks import CHECKS
from tests.simulation.effects import Death
from tests.simulation.weather import LATE_CREATE, LIST_LAG, Weather, fair
from tests.simulation.world import live_through

DAY = 86_400.0
DROPS = (Drop("files", 4, options={"max_requests_per_batch": 2}), Drop("vectors", 2, kind="embed"))


def world(*faults: Fault, deaths: dict[int, Death] | None = None, lost: bool = False) -> Weather:
    """A small world with some trouble, a day long at most."""
    base = fair(DROPS, deaths)
    return replace(base, faults=faults, ledger_lost=lost, rest_within=1.2 * DAY)


def dying(death: Death, every: int, *, lost: bool = False) -> Iterator[Weather]:
    """Worlds with one death each, spread over all moments, the crucial ones first."""
    labels = live_through(world()).labels
    crucial = [
        number
        for number, label in enumerate(labels, 1)
        if label.split(" ")[1] in ("transact", "answer", "POST")
    ]
    for moment in [*crucial[::3], *range(1, len(labels) + 1, every)]:
        faults = [Fault(do="hide_new", seconds=LIST_LAG - 60)] if lost else []
        yield world(*faults, deaths={moment: death}, lost=lost)


def late_and_hidden() -> Weather:
    """A create takes effect as late as it may and hides; long jobs beside it show lists whole."""
    late = Fault(do="late", model=EMBED_MODEL, seconds=LATE_CREATE - 60, status=503, times=1)
    hidden = Fault(do="hide_new", model=EMBED_MODEL, seconds=LIST_LAG - 60)
    slow = Fault(do="timing", model=MODEL, pending_seconds=60, running_seconds=4 * HOUR)
    return world(late, hidden, slow)


HARNESSES: dict[str, Callable[[], Iterator[Weather]]] = {
    "fair": lambda: iter([world()]),
    "answers lost": lambda: iter([world(Fault(do="lose_answer", on="batches.create", times=2))]),
    "hidden": lambda: iter(
        [
            world(
                Fault(do="lose_answer", on="batches.create", times=4),
                Fault(do="hide_new", seconds=LIST_LAG - 60),
            )
        ]
    ),
    "empty list": lambda: iter(
        [
            world(
                Fault(do="lose_answer", on="batches.create", nth=2),
                Fault(do="empty_list", probability=1.0),
            )
        ]
    ),
    "late creates": lambda: iter([late_and_hidden()]),
    "rows missing": lambda: iter([world(Fault(do="row_missing", rows=0.5, times=2))]),
    "twins": lambda: iter([world(Fault(do="twin", count=1, times=1))]),
    "jobs fail": lambda: iter([world(Fault(do="fail", code=13, message="internal", times=1))]),
    "deaths": lambda: dying("killed", 11),
    "power": lambda: dying("power cut", 23),
    "ledger lost": lambda: dying("power cut", 1000, lost=True),
}


def findings(harness: str) -> list[str]:
    """Ask one part, or live through the worlds of a harness until one of them finds something."""
    if harness in CHECKS:
        return CHECKS[harness]()
    for weather in HARNESSES[harness]():
        found = live_through(weather).findings
        if found:
            return found
    return []
