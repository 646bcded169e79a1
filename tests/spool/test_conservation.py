"""Nothing is lost and nothing is doubled, whatever the answers are and however often we die."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from orchestrator.domain.batches import Part, Tally
from orchestrator.spool import atomic
from orchestrator.spool.outbox import FolderOutbox
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder
from tests.spool import sets
from tests.spool.sets import FOLDER

GENERATIONS = 3
COUNT = 12
EVENTS = ("response", "response", "lasting", "retryable", "missing", "twice", "broken")
ROUND = st.lists(st.sampled_from(EVENTS), min_size=COUNT, max_size=COUNT)


@dataclass(frozen=True, slots=True)
class World:
    """What the service does to each request in each generation, in which order and form."""

    rounds: Sequence[Sequence[str]]
    seed: int
    batch_bytes: int

    def lines(self, batch: Part, ordinals: Sequence[int]) -> bytes:
        """Return the answers to a batch."""
        chance = random.Random(f"{self.seed} {batch.token}")
        events = self.rounds[batch.generation - 1]
        lines = [line for n in ordinals for line in _lines(events[n], n, chance.randrange(4))]
        chance.shuffle(lines)
        return b"".join(lines)

    def fate(self, ordinal: int) -> str:
        """Return how a request comes out in the end."""
        for events in self.rounds:
            match events[ordinal]:
                case "response" | "twice":
                    return "response"
                case "lasting" | "broken":
                    return "error"
                case _:
                    continue
        return "error"


def _lines(event: str, ordinal: int, form: int) -> list[bytes]:
    match event:
        case "response":
            return [sets.answered(ordinal, form)]
        case "twice":
            return [sets.answered(ordinal, form), sets.answered(ordinal, form + 1)]
        case "lasting":
            return [sets.failed(ordinal, 3)]
        case "retryable":
            return [sets.failed(ordinal, 13)]
        case "broken":
            return [b'{"response":{"a":],"key":"%d"}\n' % ordinal]
        case _:
            return []


WORLDS = st.builds(
    World,
    st.lists(ROUND, min_size=GENERATIONS, max_size=GENERATIONS),
    st.integers(0, 1 << 30),
    st.integers(80, 1000),
)


async def _whole_life(root: Path, world: World) -> list[Tally]:
    """Run a set to its end; whatever was done already is done again with the same outcome."""
    work = sets.opened(root / "work")
    tallies = []
    serial = 1
    for generation in range(1, GENERATIONS + 1):
        plans = await work.plan(
            FOLDER,
            sets.order(generation, first_serial=serial, batch_bytes_max=world.batch_bytes),
        )
        known = await work.planned(FOLDER)
        for token in sorted(known, key=lambda one: known[one].serial):
            if token.split("-")[3] == str(generation):
                batch = sets.part(known[token], generation)
                tallies.append(await _collect(work, world, batch))
        serial += len(plans)
    return tallies


async def _collect(work: WorkFolder, world: World, batch: Part) -> Tally:
    if not await work.have_answers(FOLDER, batch.token):
        body = b"".join([piece async for piece in work.body(FOLDER, batch).pieces()])
        ordinals = [int(line.split(b'"')[3]) for line in body.splitlines()]
        await sets.collected(work, batch, world.lines(batch, ordinals))
    last = batch.generation == GENERATIONS
    report = await work.join(FOLDER, sets.join_order(batch, last=last, as_it_is=True))
    tally = report.tally
    assert batch.count == sum(
        (tally.answered, tally.failed, tally.retryable, tally.missing, tally.given_up)
    )
    return tally


def _outbox(root: Path) -> FolderOutbox:
    for name in ("outbox", "rejected"):
        (root / name).mkdir(exist_ok=True)
    return FolderOutbox(root / "outbox", root / "rejected", root / "work", Inline())


def _results(root: Path) -> bytes:
    return (root / "outbox" / "done" / "results.jsonl").read_bytes()


def _fates(root: Path) -> list[str]:
    found = sets.results(root / "outbox" / "done" / "results.jsonl")
    assert [line["key"] for line in found] == [f"k{n}" for n in range(COUNT)]
    return ["response" if "response" in line else "error" for line in found]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(WORLDS)
async def test_each_request_comes_out_once(
    tmp_path_factory: pytest.TempPathFactory, world: World
) -> None:
    """Any mix of answers, errors, gaps and doubles adds up, and each fate is the right one."""
    root = tmp_path_factory.mktemp("world")
    sets.written(root / "work", sets.plain(COUNT))

    await _whole_life(root, world)
    await _outbox(root).publish(sets.info(COUNT), {}, None)

    assert _fates(root) == [world.fate(n) for n in range(COUNT)]


class _Death(Exception):
    """The process ends here."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_death_at_any_effect_changes_nothing(tmp_path: Path, moment: str) -> None:
    """Killed before or after any effect on the disk, each in turn: not a byte comes out other."""
    world = World(
        [EVENTS[:6] * 2, EVENTS[::-1][:6] * 2, ["retryable", "missing", "response"] * 4],
        7,
        400,
    )
    expected = [world.fate(n) for n in range(COUNT)]
    sets.written(tmp_path / "calm" / "work", sets.plain(COUNT))
    await _whole_life(tmp_path / "calm", world)
    await _outbox(tmp_path / "calm").publish(sets.info(COUNT), {}, None)
    undisturbed = _results(tmp_path / "calm")
    deaths = 0
    while True:
        root = tmp_path / str(deaths)
        sets.written(root / "work", sets.plain(COUNT))
        left = deaths

        def die(when: str, _verb: str, _path: Path) -> None:
            nonlocal left
            if when == moment:
                left -= 1
                if left < 0:
                    raise _Death

        outbox = _outbox(root)
        try:
            with atomic.observed(die):
                await _whole_life(root, world)
                await outbox.publish(sets.info(COUNT), {}, None)
        except* _Death:
            pass
        else:
            break
        tallies = await _whole_life(root, world)
        assert sum(tally.answered for tally in tallies) == expected.count("response")
        delivery = await outbox.publish(sets.info(COUNT), {}, None)
        assert delivery.totals.answered == expected.count("response")
        assert _fates(root) == expected
        assert _results(root) == undisturbed
        deaths += 1
    assert deaths > 50
