"""Strikes the real daemon at one call after the other, several worlds side by side.

On a disk of its own a world loses its power as the daemon is killed: what was not synced is gone.

`python -m tests.crash.sweep --kind SIGKILL [--every K --first N] [--side J] [--seconds S]` says
what came of it as JSON. It needs the library of `strikes` preloaded; `swept` starts it so.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

from tests.crash import apart, nursery, strikes
from tests.crash.real import DROPS, RealWorld, real_world
from tests.crash.strikes import Strike
from tests.judging.drops import Drop
from tests.power.disk import PowerDisk
from tests.power.loopfs import loop_disk
from tests.power.strictdisk import strict_disk

SMALL = tuple(Drop(f"small{number}", 1) for number in range(9))  # so many are taken together
TOWNS = {"mixed": DROPS, "small": SMALL}
FAILURES = ("ENOSPC", "EIO", "EDQUOT")
PAIRS = "pairs"
SIDE_BY_SIDE = 6
DISKS: Mapping[str, Callable[[Path], AbstractContextManager[PowerDisk]]] = {
    "ext4": partial(loop_disk, kind="ext4"),
    "xfs": partial(loop_disk, kind="xfs"),
    "strict": strict_disk,
}


@dataclass(frozen=True)
class Plan:
    """What to strike with: SIGKILL, an error, or SIGKILL in pairs; where, and for how long.

    `disk` is "" for a plain folder, or the kind of disk that loses its power at each kill.
    """

    kind: str = "SIGKILL"
    town: str = "mixed"
    disk: str = ""
    lasts: bool = False
    deaf: bool = False
    first: int = 0
    every: int = 1
    side: int = SIDE_BY_SIDE
    seconds: float = 3600.0

    @property
    def failure(self) -> str:
        """The error; empty for kills."""
        return self.kind if self.kind in FAILURES else ""

    @property
    def harness(self) -> str:
        """What the table calls it."""
        kind = "SIGKILL in pairs" if self.kind == PAIRS else self.kind
        kind = f"power cut, {self.disk}" if self.disk else kind
        town = "" if self.town == "mixed" else f", {self.town} files taken together"
        return f"{kind}{' from a call on' if self.lasts else ''}{town}"

    def worlds(self, points: Sequence[int]) -> Sequence[tuple[Strike, ...]]:
        """Return for each world the strikes at its lives, one after the other."""
        struck = [Strike(at, self.failure, self.lasts, self.deaf) for at in points]
        if self.kind == PAIRS:
            return [(*pair,) for pair in pairwise(struck)][self.first :: self.every]
        return [(one,) for one in struck[self.first :: self.every]]


@dataclass
class Swept:
    """What came of a sweep: of `points` of a life, how many were struck, with what findings.

    `missed` strikes found nothing to strike, as the life was over before; `left` is what there
    was no time for.
    """

    points: int
    struck: int = 0
    missed: int = 0
    left: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, where: Sequence[str], findings: Sequence[str]) -> None:
        """Take in one world."""
        missed = strikes.NOTHING in where
        self.missed += missed
        self.struck += not missed
        self.findings += findings


def live(root: Path, plan: Plan, struck: Sequence[Strike]) -> tuple[list[str], list[str]]:
    """Strike one life after the other, recover, judge: what was struck, and what is wrong."""
    told: list[str] = []
    findings: list[str] = []
    with world_of(root, plan) as (world, disk):
        for number, strike in enumerate(struck):
            book = root / f"book-{number}"
            world.preload = strikes.orders(strike, world.state, book)
            world.live()
            if disk is not None:
                disk.cut()
            findings += world.visible()
            told.append(strikes.read(book).where)
        world.preload = {}
        findings += world.recover()
    named = " then ".join(f"{one} ({where})" for one, where in zip(struck, told, strict=True))
    return told, [f"{named}: {finding}" for finding in findings]


def survey(root: Path, plan: Plan) -> Sequence[int]:
    """Live one life that nothing happens to, and number the points to strike at."""
    with world_of(root, plan) as (world, _):
        book = root / "book"
        world.preload = strikes.orders(Strike(0, plan.failure), world.state, book)
        world.live()
        findings = world.judge()
        assert findings == [], findings
        return strikes.points(strikes.read(book).calls)


@contextmanager
def world_of(root: Path, plan: Plan) -> Iterator[tuple[RealWorld, PowerDisk | None]]:
    """Make a world in a new folder, with its state on a disk of its own if there is to be one.

    What was dropped is durable: that is its producer's business.
    """
    root.mkdir()
    with ExitStack() as held:
        disk = held.enter_context(DISKS[plan.disk](root / "disk")) if plan.disk else None
        (root / "world").mkdir()
        state = None if disk is None else disk.place / "state"
        town = TOWNS[plan.town]
        world = held.enter_context(
            real_world(root / "world", town, state=state, start=nursery.fork)
        )
        if disk is not None:
            disk.settle()
        yield world, disk


def sweep(root: Path, plan: Plan) -> Swept:
    """Survey, then strike everywhere, for as long as there is time."""
    began = time.monotonic()
    points = apart.done(root / "survey.json", lambda: survey(root / "survey", plan))
    found = Swept(len(points))
    waiting = [*enumerate(plan.worlds(points), 1)]
    running: dict[int, int] = {}
    while waiting or running:
        if waiting and time.monotonic() - began > plan.seconds:
            found.left, waiting = len(waiting), []
        while waiting and len(running) < plan.side:
            number, struck = waiting.pop(0)
            running[_begin(root, number, plan, struck)] = number
        if running:
            pid, _ = os.wait()
            _take(root, running.pop(pid), found)
    found.seconds = time.monotonic() - began
    return found


def _begin(root: Path, number: int, plan: Plan, struck: Sequence[Strike]) -> int:
    """Start one world in a process of its own, which returns."""
    return apart.begin(root / f"{number}.json", lambda: live(root / str(number), plan, struck))


def _take(root: Path, number: int, found: Swept) -> None:
    """Take in a world that has ended; one with findings is left for a person to look at."""
    try:
        where, findings = apart.ended(root / f"{number}.json")
    except apart.Failed as error:
        where, findings = [], [f"world {number}: {error}"]
    found.add(where, findings)
    for finding in findings:
        sys.stderr.write(f"{finding} ({root / str(number)})\n")
    if not findings:
        shutil.rmtree(root / str(number), ignore_errors=True)


# ---- as a program -------------------------------------------------------------------------------


def swept(plan: Plan, root: Path) -> Swept:
    """Run a sweep in an interpreter that has the library preloaded."""
    library = strikes.build(root)
    given = asdict(plan)
    flags = [f"--{name}" for name in ("lasts", "deaf") if given.pop(name)]
    options = [f"--{name}={value}" for name, value in given.items()] + flags
    ended = subprocess.run(
        [sys.executable, "-m", __name__, *options, "--root", str(root)],
        env={**os.environ, "LD_PRELOAD": str(library), "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Swept(**json.loads(ended.stdout))


def main() -> int:
    """Sweep as the command line says, and say what came of it."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kind", choices=("SIGKILL", PAIRS, *FAILURES), default="SIGKILL")
    asked.add_argument("--town", choices=tuple(TOWNS), default="mixed")
    asked.add_argument("--disk", choices=("", *DISKS), default="")
    asked.add_argument("--lasts", action="store_true")
    asked.add_argument("--deaf", action="store_true")
    asked.add_argument("--first", type=int, default=0)
    asked.add_argument("--every", type=int, default=1)
    asked.add_argument("--side", type=int, default=SIDE_BY_SIDE)
    asked.add_argument("--seconds", type=float, default=3600.0)
    asked.add_argument("--root", type=Path)
    given = vars(asked.parse_args())
    root = given.pop("root") or Path(tempfile.mkdtemp(prefix="sweep-"))
    nursery.prepare()
    found = sweep(root, Plan(**given))
    sys.stdout.write(json.dumps(asdict(found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
