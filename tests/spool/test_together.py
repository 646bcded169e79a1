"""Many small drops at once: the same as one by one, whatever moment the power is cut at."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from orchestrator.domain.ids import InstallId
from orchestrator.spool import source, together
from orchestrator.spool.atomic import observed
from orchestrator.spool.index import committed
from orchestrator.spool.pool import Inline
from orchestrator.spool.work import WorkFolder
from tests.simulation.disk import TMPFS, Disk
from tests.spool.worlds import World, lines, order

FORMS = {
    "keyed": lines("a", "b"),
    "keyless": '{"request":{"contents":[{"parts":[{"text":"x"}]}]}}\n\n' * 2,
    "bare": '{"contents":[{"parts":[{"text":"x"}]}]}',
    "metadata": '{"metadata":{"key":"k"},"request":{"contents":[{"parts":[{"text":"x"}]}]}}\r\n',
    "marked": "\ufeff" + lines("é"),
    "config": '{"key":"k","request":{"contents":"x","config":{"temperature":1}}}\n',
}
FILES = (
    *(source.LINES, source.STATES, source.ANSWERS, source.BLOCKS, source.SIDE_FILE),
    *(source.FLAWS, source.WARNINGS, source.INDEX),
)
UNUSUAL = {
    "flawed": lines("a") + "not JSON\n",
    "twice": lines("a", "a"),
    "empty": "",
    "blank": "\n\n",
    "mixed": lines("2") + FORMS["keyless"],
}

EFFECTS_MIN = 60  # before and after each of the effects on two drops


def work_of(world: World) -> WorkFolder:
    """Serve the work folder of a world."""
    return WorkFolder(world.work, InstallId("install"), Inline())


async def taken_together(world: World):
    """Claim whatever is complete and small, at once."""
    return await world.inbox.claim_together([d for d in await world.settled() if d.small])


async def test_what_is_read_together_is_read_as_one_by_one(tmp_path: Path) -> None:
    """The report and every index file are the same, byte for byte."""
    world = World(tmp_path)
    for name, text in FORMS.items():
        world.drop(f"{name}.jsonl", text)
    claims = await taken_together(world)

    reports = await work_of(world).index_together([(claim, order()) for claim in claims])

    assert {claim.name for claim in claims} == FORMS.keys()
    for claim, report in zip(claims, reports, strict=True):
        folder = world.work / claim.folder
        written = {name: (folder / name).read_bytes() for name in FILES}
        (folder / source.INDEX).unlink()
        assert report == await world.indexing.index(claim, order())
        assert written == {name: (folder / name).read_bytes() for name in FILES}


async def test_the_unusual_is_left_to_be_read_by_itself(tmp_path: Path) -> None:
    """A flaw, a repeated or doubtful key, nothing to read: nobody is answered in a hurry."""
    world = World(tmp_path)
    for name, text in UNUSUAL.items():
        world.drop(f"{name}.jsonl", text)
    claims = await taken_together(world)

    reports = await work_of(world).index_together([(claim, order()) for claim in claims])

    assert reports == [None] * len(UNUSUAL)
    assert all(committed(world.work / claim.folder) is None for claim in claims)


async def test_only_small_plain_files_are_taken_together(tmp_path: Path) -> None:
    """What is large, compressed, a folder or no file at all is taken by itself."""
    world = World(tmp_path)
    world.drop("small.jsonl", lines("a"))
    world.drop("large.jsonl", lines("a") + " " * together.SMALL_BYTES)
    world.drop("packed.jsonl.gz", b"x")
    world.drop("folder/requests.jsonl", lines("a"))
    (world.inbox_path / "link.jsonl").symlink_to("/etc/hostname")

    assert [drop.name for drop in await world.settled() if drop.small] == ["small"]


async def test_what_somebody_still_writes_is_finished_by_itself(tmp_path: Path) -> None:
    """A writer that comes back in the last moment, or a second name: no promise is made early."""
    world = World(tmp_path)
    first, second = world.drop("a.jsonl", lines("a")), world.drop("b.jsonl", lines("b"))
    drops = await world.settled()
    os.link(second, tmp_path / "second name")
    world.inbox._seen[b"b.jsonl"].wanted  # noqa: B018 - it was seen before it got the name
    with first.open("ab"):
        assert await world.inbox.claim_together(drops) == ()

    claims = await world.claims()

    assert {claim.name for claim in claims} | {
        path.stem for path in world.inbox_path.iterdir()
    } == {
        "a",
        "b",
    }


async def live(world: World) -> None:
    """Take all, read all, name all."""
    claims = await taken_together(world)
    await work_of(world).index_together([(claim, order()) for claim in claims])
    await work_of(world).name_runs([(claim, 0, 0) for claim in claims])


async def judge(world: World, texts: dict[str, str]) -> None:
    """In the next life every drop is there, once, whole, with its options, and can be read."""
    world.restart()
    claims = [*await world.claims(), *await world.take()]
    assert sorted(claim.name for claim in claims) == sorted(texts)
    assert list(world.inbox_path.iterdir()) == []
    for claim in claims:
        assert claim.trouble is None
        assert claim.options == "x = 1"
        folder = world.work / claim.folder
        assert (folder / source.INPUT).read_text() == texts[claim.name]
        report = await world.indexing.index(claim, order())
        assert report.requests == 1
        assert (folder / source.LINES).stat().st_size == 24


def dropped(world: World) -> dict[str, str]:
    """Drop two sets with their options."""
    texts = {name: lines(name) for name in ("a", "b")}
    for name, text in texts.items():
        world.drop(f"{name}.jsonl", text)
        world.drop(f"{name}.toml", "x = 1")
    return texts


class Death(BaseException):
    """The process is gone."""


async def died_at(world: World, stop: int) -> bool:
    """Live until the effect of this number; tells whether life came to its end before."""
    steps = 0

    def crash(_moment: str, _verb: str, _path: Path) -> None:
        nonlocal steps
        if steps == stop:
            raise Death
        steps += 1

    try:
        with observed(crash):
            await live(world)
    except Death:
        return False
    return True


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder in memory, where no inode's number is used twice."""
    if not os.path.ismount(TMPFS):
        pytest.skip("no tmpfs at /dev/shm: inode numbers would be used twice")
    made = Path(tempfile.mkdtemp(prefix="together-", dir=TMPFS))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.soak)])
async def test_a_death_at_any_effect_loses_nothing_and_takes_nothing_twice(
    scratch: Path, stride: int
) -> None:
    """Whatever step we die at, the next life finds every drop once."""
    for stop in range(0, 10_000, stride):
        world = World(scratch / str(stop))
        texts = dropped(world)
        finished = await died_at(world, stop)
        await judge(world, texts)
        if finished:
            assert stop > EFFECTS_MIN
            return


@pytest.mark.parametrize("chance", [None, 1, 2])
@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.soak)])
async def test_a_power_cut_at_any_effect_loses_nothing(
    scratch: Path, stride: int, chance: int | None
) -> None:
    """Nothing that was not synced survives, or some of it by chance: every drop is there, once."""
    for stop in range(0, 10_000, stride):
        root = scratch / str(stop)
        world = World(root)
        texts = dropped(world)
        disk = Disk(root)
        with disk.listening():
            finished = await died_at(world, stop)
            disk.cut(None if chance is None else Random(f"{chance} {stop}"))
        await judge(world, texts)
        shutil.rmtree(root)
        if finished:
            assert stop > EFFECTS_MIN
            return
