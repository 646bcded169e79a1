"""The whole daemon in simulated worlds: never twice, never lost, always to rest.

It shows deaths, power cuts that forget unsynced writes, lost commits, and every bad manner of the
provider within the two bounds. It does not show threads and processes of their own: for those see
the real processes. Faults sit in the emulator and the network, never in the product's code.
"""

import os
import subprocess
import sys

import pytest

from tests.simulation.soak import Sum, one, replay
from tests.simulation.weather import fair, foul
from tests.simulation.witness import ROWS
from tests.simulation.world import live_through

SEEDS = range(int(os.environ.get("ORCHESTRATOR_TEST_WORLDS", "500")))
REACHING = range(120)
REASONS = (
    *ROWS,
    *("lapsed absent", "lapsed cancelled", "lapsed expired", "lapsed failed", "lapsed invalid"),
    *("submitting sending", "submitting in_doubt", "submitting fenced"),
)


def test_a_fair_world_costs_what_it_must() -> None:
    """Without trouble every request is paid for once and every line delivered in its place."""
    outcome = live_through(fair())

    assert outcome.findings == []
    assert outcome.books is not None
    assert outcome.books.requests == outcome.books.executed == 14
    assert outcome.books.jobs == 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_together_the_worlds_reach_everything() -> None:
    """Every edge of both machines, but those that are named with their reason, is gone along.

    So is every row of the table of what can come of a create.
    """
    total = Sum()
    for seed in REACHING:
        total.add(*one(seed))
        if not total.never() and not set(REASONS) - total.reasons.keys():
            break

    assert total.never() == []
    assert set(REASONS) - total.reasons.keys() == set()


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_no_world_pays_twice_or_loses_a_line(seed: int) -> None:
    """Whatever the seed brings, the provider's books and the outbox come out right."""
    outcome = live_through(foul(seed), seed)

    assert outcome.findings == [], f"replay: {replay(seed)}"


@pytest.mark.slow
def test_a_world_is_the_same_each_time() -> None:
    """One seed gives one trace, on this interpreter and on others with another hash seed."""
    program = (
        "from tests.simulation.weather import foul\n"
        "from tests.simulation.world import live_through\n"
        "print(live_through(foul(3), 3).trace)"
    )

    def trace(hash_seed: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
        )
        return ran.stdout

    assert trace("1") == trace("2")


@pytest.mark.parametrize("seed", [300419, 301123, 311420, 312350])
def test_what_once_failed_holds(seed: int) -> None:
    """Worlds that found something live to their end now."""
    assert live_through(foul(seed), seed).findings == []
