"""The mutation score of our own fsyncs: each is skipped in turn, then the power is cut behind it.

Small simulated worlds live on a disk that forgets what was not synced. One life without trouble
tells every sync, by the place in the program that asked for it. Then for each place one of its
syncs is reported done and is not, and the power is cut at moments behind it, until a world finds
something; the same cut with every sync carried out must find nothing. Where nothing is found when
all that is unsynced goes, the cut is made again so that chance decides what of it goes: that is how
one name gets to the disk before another that it relies on.

`python -m tests.simulation.fsyncs [--part K --of N]` prints a line for each place, and the score.
What is listed in `UNNOTICED` counts as not noticed, and is tried with `--all` only.
"""

import argparse
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from orchestrator.emulator.faults import Fault
from tests.judging.drops import Drop
from tests.simulation import world as worlds
from tests.simulation.disk import Disk
from tests.simulation.weather import SPOILED, fair
from tests.simulation.world import live_through

DAY = 86_400.0
OURS = "/orchestrator/"
PLUMBING = ("atomic.py", "flush.py", "surroundings.py", "calls.py", "pool.py")
TRIED_EACH = 3  # syncs of one place
TORN_NEAR, TORN_EACH = 40, 4  # cuts by chance at every other of the next moments, how often each
COMMITS = 3  # cuts behind so many of the ledger's next commits
NEAR = (1, 3, 5, 9, 15, 25)  # and so many moments behind the sync
SCORE_MIN = 0.8

TWO = {"max_requests_per_batch": 2}
FLAWED = Drop(
    "flawed", 3, flawed=frozenset({1}), options={"flaws_max_fraction": 0.5, "parts": True}
)
WORLDS = {
    "inline": replace(fair((Drop("vectors", 2, kind="embed"),)), rest_within=0.6 * DAY),
    "files": replace(fair((Drop("files", 4, options=TWO),)), rest_within=0.6 * DAY),
    "spoiled": replace(fair((SPOILED,)), rest_within=0.6 * DAY),
    "refused": replace(
        fair((FLAWED,)),
        rest_within=0.6 * DAY,
        faults=(Fault(do="quota", on="batches.create", nth=1, times=1),),
    ),
    "failing": replace(
        fair((Drop("files", 4),)),
        rest_within=0.6 * DAY,
        faults=(Fault(do="fail", code=13, message="internal", times=1),),
    ),
    "hopeless": replace(
        fair((Drop("hopeless", 2, options={"max_generations": 1}),)),
        rest_within=0.6 * DAY,
        faults=(Fault(do="fail", code=13, message="internal", times=1),),
        may_fail=True,
    ),
}
UNNOTICED: Mapping[str, str] = {  # places whose loss nobody can notice, and why
    "identity.begin file #2": "after a power cut the start is a doubtful one anyway",
    "index._commit folder": "the run's name in meta.json, beside it, is synced before the row",
    "meta.save_meta folder": "until the folder's next sync the drop keeps its name in the inbox",
    "plan.mark folder": "after a power cut the list is watched for the whole window anyway",
    "session._write file": "an upload begins anew under the next name: bytes, no money",
    "session._write folder": "an upload begins anew under the next name: bytes, no money",
}


@dataclass(frozen=True)
class Sync:
    """One sync of a life: who asked for it, its number, and how many moments came before."""

    place: str
    number: int
    moments: int


class Forgetful(Disk):
    """A disk whose users did not sync what they dropped: their names are there, no content.

    With a number for `torn` chance decides at a cut what is lost of what was not synced.
    """

    torn: int | None = None

    def cut(self, chance: Random | None = None) -> None:
        """Leave what a power cut leaves."""
        super().cut(chance if self.torn is None else Random(f"torn {self.torn}"))

    def settle(self) -> None:
        """Make all but the content in the inbox durable."""
        super().settle()
        for path in (self.root / "inbox").rglob("*"):
            self._durable.contents.pop(path.lstat().st_ino, None)


@contextmanager
def forgetful(by_chance: int | None) -> Iterator[None]:
    """Let worlds have such disks."""

    class Chosen(Forgetful):
        torn = by_chance

    with patch.object(worlds, "Disk", Chosen):
        yield


@cache
def survey(name: str) -> tuple[Sequence[Sync], Sequence[str]]:
    """Live one life and return all its syncs of our own, and the labels of its moments."""
    syncs: list[Sync] = []
    made: list[worlds.World] = []

    class Told(worlds.World):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    class Asked(Forgetful):
        def _heard(self, number: int) -> None:
            before = self.syncs
            super()._heard(number)
            if self.syncs > before and made:
                syncs.append(Sync(asker(), self.syncs, made[-1].effects.moments))

    with patch.object(worlds, "World", Told), patch.object(worlds, "Disk", Asked):
        outcome = live_through(WORLDS[name])
    assert outcome.findings == [], outcome.findings
    return syncs, outcome.labels


def asker() -> str:
    """Name the place in the program that asked for this sync: module, function, what, line."""
    frames = [one for one in traceback.extract_stack() if OURS in one.filename]
    below = [one.name for one in frames if one.filename.endswith("atomic.py")]
    last = [one for one in frames if not one.filename.endswith(PLUMBING)][-1]
    what = "folder" if "fsync_dir" in below else "file"
    return f"{Path(last.filename).stem}.{last.name} {what}:{last.lineno}"


def places() -> dict[str, list[tuple[str, Sync]]]:
    """Return for each place that syncs its syncs, each with the world that it is in.

    A place has no line number in its name; the second of a function is its `#2`.
    """
    found: dict[str, list[tuple[str, Sync]]] = {}
    for name in WORLDS:
        for sync in survey(name)[0]:
            found.setdefault(sync.place, []).append((name, sync))
    named: dict[str, list[tuple[str, Sync]]] = {}
    for place in sorted(found, key=lambda one: (one.split(":")[0], int(one.split(":")[1]))):
        plain, number = place.split(":")[0], 2
        while plain in named:
            plain, number = f"{place.split(':')[0]} #{number}", number + 1
        named[plain] = found[place]
    return named


def cuts_behind(sync: Sync, labels: Sequence[str]) -> Sequence[int]:
    """Choose when the power is cut: when the ledger believes in it, at once, and at the end."""
    behind = range(sync.moments + 1, len(labels) + 1)
    commits = [n for n in behind if labels[n - 1].startswith("after transact")]
    near = [sync.moments + step for step in NEAR if sync.moments + step in behind]
    return list(dict.fromkeys([*commits[:COMMITS], *near, *commits[-2:]]))


def noticed(syncs: Sequence[tuple[str, Sync]]) -> str | None:
    """Return what is found when one of a place's syncs is skipped, None if nothing is."""
    step = max(1, len(syncs) // TRIED_EACH)
    tried = syncs[::step][:TRIED_EACH]
    for name, sync in tried:
        for moment, lost in product(cuts_behind(sync, survey(name)[1]), (False, True)):
            if found := missed(name, sync, moment, lost=lost):
                return found
    for name, sync in tried:
        end = min(sync.moments + TORN_NEAR, len(survey(name)[1]))
        near = range(sync.moments + 1, end + 1, 2)
        for moment, lost, torn in product(near, (False, True), range(TORN_EACH)):
            if found := missed(name, sync, moment, lost=lost, torn=torn):
                return f"by chance: {found}"
    return None


def missed(name: str, sync: Sync, moment: int, **cut: Any) -> str | None:
    """Return what a cut finds without this sync and does not find with it, None if nothing."""
    found = findings(name, moment, frozenset({sync.number}), **cut)
    return found[0] if found and not findings(name, moment, frozenset(), **cut) else None


@cache
def findings(
    name: str,
    moment: int,
    deaf: frozenset[int],
    *,
    lost: bool = False,
    torn: int | None = None,
) -> tuple[str, ...]:
    """Live through a world with one power cut; what the judges stumble over is found as well.

    Nobody orders anything in these worlds: each drop comes to one folder of its name. With
    `lost` the ledger goes with the power; with a number for `torn` chance decides what else does.
    """
    weather = replace(WORLDS[name], deaths={moment: "power cut"}, ledger_lost=lost)
    due = sorted(drop.name for drop in weather.drops if drop != SPOILED)
    try:
        with forgetful(torn):
            outcome = live_through(weather, deaf=deaf)
    except (OSError, ValueError, AssertionError) as error:
        return (f"{type(error).__name__}: {error}",)
    if not outcome.findings and outcome.delivered != due:
        return (f"delivered are {', '.join(outcome.delivered) or 'none'}",)
    return tuple(outcome.findings)


def main() -> int:
    """Score the places, or a part of them; 1 if the score of the whole is too low."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--part", type=int, default=0)
    asked.add_argument("--of", type=int, default=1)
    asked.add_argument("--all", action="store_true", help="try also what is listed as unnoticed")
    options = asked.parse_args()
    mine = sorted(places().items())[options.part :: options.of]
    seen = 0
    for place, syncs in mine:
        listed = UNNOTICED.get(place) if not options.all else None
        found = noticed(syncs) if listed is None else None
        seen += found is not None
        sys.stdout.write(f"| {place} | {(found or f'not noticed: {listed}')[:90]} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"{seen} of {len(mine)} places noticed\n")
    return int(seen < SCORE_MIN * len(mine))


if __name__ == "__main__":
    sys.exit(main())
