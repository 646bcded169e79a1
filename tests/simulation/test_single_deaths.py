"""One death at each moment of a small mixed world: an inline set, a file set, an embedding set."""

import pytest

from tests.judging.drops import Drop
from tests.simulation.effects import Death
from tests.simulation.weather import fair
from tests.simulation.world import live_through

PARTS = 16


def moments(*, all_of_them: bool) -> list[int]:
    """Number the moments to die at: all, or those of the ledger and the provider and some more.

    Right before an effect the world is as it was right after the one before, so that the crucial
    ones are taken from behind.
    """
    labels = live_through(fair()).labels
    chosen = []
    for number, label in enumerate(labels, 1):
        when, verb, *_ = label.split(" ")
        crucial = when == "after" and verb in ("transact", "answer")
        if all_of_them or crucial or number % 24 == 0:
            chosen.append(number)
    return chosen


def die_at(chosen: list[int], death: Death) -> list[str]:
    """Live through one world for each moment."""
    return [
        f"{death} at moment {moment}: {finding}"
        for moment in chosen
        for finding in live_through(fair(deaths={moment: death})).findings
    ]


@pytest.mark.parametrize("death", ["killed", "power cut"])
def test_a_death_beside_a_part_costs_no_part(death: Death) -> None:
    """Dying around the moment at which a batch's part is begun leaves the part to be written."""
    drop = Drop("parted", 2, options={"parts": True})
    labels = live_through(fair((drop,))).labels
    begun = labels.index("before mkdir parts") + 1

    for moment in (begun - 2, begun - 1, begun):
        assert live_through(fair((drop,), {moment: death})).findings == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("death", ["killed", "power cut"])
def test_a_death_at_a_crucial_moment_costs_nothing(death: Death, part: int) -> None:
    """Dying at the ledger, at the provider or in between leaves nothing twice, nothing lost."""
    chosen = moments(all_of_them=False)[part::4][:: 1 if death == "killed" else 3]

    assert die_at(chosen, death) == []


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("death", ["killed", "power cut"])
def test_a_death_at_any_moment_costs_nothing(death: Death, part: int) -> None:
    """Dying before or after any effect leaves nothing twice, nothing lost."""
    assert die_at(moments(all_of_them=True)[part::PARTS], death) == []
