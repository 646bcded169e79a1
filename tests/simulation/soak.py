"""Thousands of worlds: `python -m tests.simulation.soak --worlds N --seed S [--jobs J]`.

Each seed is one world; with `--seconds` none is begun when that time is over. What failed is said
with the one command that replays it; what was reached is counted, so that a world in which nothing
ever happens is no evidence.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from orchestrator.domain.batches import BATCH_EDGES
from orchestrator.domain.request_sets import SET_EDGES
from tests.simulation.weather import fair, foul
from tests.simulation.world import Outcome, live_through

NOT_REACHED = {
    "received>received": "only where the folder of a refused drop is taken in rejected/",
    "received>cancelled": "what is received is judged within the same look",
    "submitted>lapsed": "only by the operator's word that a job has vanished",
    "uploaded>planned": "an uploaded file expires after two days; worlds are calmer by then",
    "uploaded>uploaded": "a create waits longer at the provider than these small worlds make it",
}


@dataclass
class Sum:
    """What many worlds came to."""

    worlds: int = 0
    days: float = 0.0
    deaths: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Take in one world."""
        self.worlds += 1
        self.days += outcome.days
        self.deaths.update(outcome.deaths)
        self.edges.update(outcome.edges)
        self.reasons.update(outcome.reasons)
        if outcome.findings:
            self.failed[seed] = outcome.findings

    def never(self) -> list[str]:
        """Name the edges of both machines that no world went along."""
        edges = {f"{a}>{b}" for a, b in (*BATCH_EDGES, *SET_EDGES)}
        return sorted(edge for edge in edges - NOT_REACHED.keys() if not self.edges[edge])


def replay(seed: int) -> str:
    """Return the command that lives through one world again."""
    return f"python -m tests.simulation.soak --worlds 1 --seed {seed}"


def one(seed: int) -> tuple[int, Outcome]:
    """Live through one foul world."""
    return seed, live_through(foul(seed), seed)


def every_death() -> list[int]:
    """Return the moments of the fair world, at each of which a life can end."""
    return list(range(1, live_through(fair()).moments + 1))


def main() -> int:
    """Run what the command line asks for and say what came of it."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--worlds", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--jobs", type=int, default=2)
    asked.add_argument("--seconds", type=float, default=float("inf"))
    options = asked.parse_args()
    seeds = range(options.seed, options.seed + options.worlds)
    began, total = time.monotonic(), Sum()
    at_once = 8 if options.seconds == float("inf") and len(seeds) >= 64 else 1
    with ProcessPoolExecutor(options.jobs) as pool:
        for seed, outcome in pool.map(one, seeds, chunksize=at_once):
            total.add(seed, outcome)
            for finding in outcome.findings:
                sys.stdout.write(f"seed {seed}: {finding}\n  replay: {replay(seed)}\n")
            if time.monotonic() - began > options.seconds:
                pool.shutdown(cancel_futures=True)
                break
    sys.stdout.write(
        f"{total.worlds} worlds, {total.days:.0f} simulated days, {dict(total.deaths)} deaths,"
        f" {len(total.failed)} failed, {time.monotonic() - began:.0f} s\n"
        f"edges: {dict(sorted(total.edges.items()))}\n"
        f"outcomes: {dict(sorted(total.reasons.items()))}\nnever reached: {total.never()}\n"
    )
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
