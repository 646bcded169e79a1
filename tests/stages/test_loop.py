"""The loop of a stage, on virtual time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest

from orchestrator.stages.loop import LOOKS_REST_MAX, LOOKS_SHARE, Bell, Loop
from tests.simulation.clock import SimClock
from tests.simulation.loop import SimLoop, simulate


@dataclass
class Looking:
    """A stage that has nothing to do, and whose looks take time."""

    clock: SimClock
    takes: float
    looks: list[float] = field(default_factory=list)

    async def find(self) -> Sequence[str]:
        self.looks.append(self.clock.elapsed())
        await self.clock.sleep(timedelta(seconds=self.takes))
        return []

    def name(self, item: str) -> str:
        return item

    async def do(self, item: str) -> None:
        raise AssertionError(f"{item} was never found")


def looks(takes: float, seconds: float, ring_every: float) -> list[float]:
    """Return when a stage looked that is rung for all the time."""

    async def scenario(loop: SimLoop) -> list[float]:
        clock, bell = SimClock(loop), Bell()
        stage = Looking(clock, takes)

        async def crashed(*told: object) -> None:
            raise AssertionError(told)

        drive = Loop("any", stage, clock, bell, lambda: 600.0, 1, crashed)
        task = asyncio.ensure_future(drive.run())
        while clock.elapsed() < seconds:
            await clock.sleep(timedelta(seconds=ring_every))
            bell.ring()
        task.cancel()
        await asyncio.wait([task])
        return stage.looks

    return simulate(scenario, 0)


def test_looking_leaves_most_of_the_time_to_the_work() -> None:
    """A look that takes long is made as seldom as its share of the time asks for."""
    found = looks(takes=0.2, seconds=100, ring_every=0.05)

    assert 0.9 < len(found) * 0.2 / (100 * LOOKS_SHARE) <= 1.05


def test_a_quick_look_is_made_whenever_it_is_rung_for() -> None:
    """What takes no time need not be spared."""
    found = looks(takes=0.0, seconds=100, ring_every=0.5)

    assert len(found) == pytest.approx(200, abs=2)


def test_no_look_puts_the_next_one_off_for_long() -> None:
    """A look of a minute is followed by the next one within seconds."""
    found = looks(takes=60.0, seconds=200, ring_every=0.5)

    assert [b - a for a, b in pairwise(found)] == pytest.approx(
        [60 + LOOKS_REST_MAX] * (len(found) - 1)
    )
    assert len(found) == 4
