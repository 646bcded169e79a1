import gzip
import mmap
import os
import stat

import pytest

from orchestrator.spool.atomic import observed
from tests.spool.worlds import World, lines

TEXT = lines("a")


async def test_a_drop_is_complete_only_when_it_stopped_changing(tmp_path):
    """A file that changes between two looks has to settle anew."""
    world = World(tmp_path)
    path = world.drop("a.jsonl", TEXT)
    assert await world.inbox.scan() == []
    world.clock.seconds += 1.75
    assert await world.inbox.scan() == []
    path.write_text(TEXT * 2)
    world.clock.seconds += 0.25
    assert await world.inbox.scan() == []

    world.clock.seconds += 2
    (drop,) = await world.inbox.scan()

    assert (drop.name, drop.profile, drop.raw) == ("a", "", b"a.jsonl")


async def test_a_file_that_somebody_writes_is_left_alone(tmp_path):
    """However long it is unchanged, an open writer or a writable mapping keeps a file back."""
    world = World(tmp_path)
    path = world.drop("a.jsonl", TEXT)

    with path.open("r+b") as writer:
        assert await world.settled() == []
        mapped = mmap.mmap(writer.fileno(), 0)
    assert await world.settled() == []
    mapped.close()

    assert len(await world.settled()) == 1


@pytest.mark.parametrize(
    "name", [".a.jsonl", "a.jsonl.tmp", "a.jsonl.part", "x.partial", "a.jsonl~"]
)
async def test_names_of_unfinished_files_are_never_taken(tmp_path, name):
    """Dot-names and the usual endings of unfinished files are not looked at."""
    world = World(tmp_path)
    world.drop(name, TEXT)

    assert await world.settled() == []


async def test_a_claim_is_moved_and_made_unwritable(tmp_path):
    """The claimed file lies in work, read-only, with its meta data; the inbox is empty."""
    world = World(tmp_path)
    inode = world.drop("a.jsonl", TEXT).stat().st_ino
    world.drop("a.toml", 'model = "m"\n')

    (claim,) = await world.take()

    folder = world.work / claim.folder
    assert (claim.name, claim.profile, claim.options) == ("a", "", 'model = "m"\n')
    assert (claim.trouble, claim.run, claim.copy) == (None, -1, -1)
    assert (folder / "input").stat().st_ino == inode
    assert stat.S_IMODE((folder / "input").stat().st_mode) == 0o400
    assert list(world.inbox_path.iterdir()) == []
    assert await world.claims() == [claim]


async def test_the_sidecar_is_part_of_the_drop(tmp_path):
    """While NAME.toml changes, NAME.jsonl is not complete; alone it waits."""
    world = World(tmp_path)
    world.drop("a.toml", "priority = 1")
    assert await world.settled() == []
    world.drop("a.jsonl.gz", gzip.compress(TEXT.encode()))
    await world.inbox.scan()
    world.clock.seconds += 2
    world.drop("a.toml", "priority = 22")

    assert await world.inbox.scan() == []
    (claim,) = await world.take()

    assert claim.options == "priority = 22"


async def test_folders_and_hot_folders(tmp_path):
    """A folder is a drop; a profile's folder holds drops."""
    world = World(tmp_path, profiles=["fast"])
    world.drop("set/requests.jsonl", TEXT)
    world.drop("set/set.toml", "parts = true")
    world.drop("set/notes.txt", "mine")
    world.drop("fast/b.jsonl", TEXT)

    claims = {claim.name: claim for claim in await world.take()}

    assert (claims["b"].profile, claims["b"].options) == ("fast", None)
    assert (claims["set"].profile, claims["set"].options) == ("", "parts = true")
    assert (world.work / claims["set"].folder / "input").read_text() == TEXT
    assert (world.work / claims["set"].folder / "drop" / "notes.txt").read_text() == "mine"
    assert (world.inbox_path / "fast").is_dir()


async def test_a_folder_without_requests_is_given_time(tmp_path):
    """A folder may be filled slowly; only after long waiting it is refused."""
    world = World(tmp_path)
    world.drop("set/set.toml", "")

    assert await world.settled() == []
    world.clock.seconds += 100
    (drop,) = await world.inbox.scan()
    claim = await world.claim(drop)

    assert "no requests.jsonl" in claim.trouble


async def test_hard_links_are_copied(tmp_path):
    """A file with a second name is never used in place: who holds that name could change it."""
    world = World(tmp_path)
    path = world.drop("a.jsonl", TEXT)
    os.link(path, tmp_path / "mine")

    (claim,) = await world.take()
    (tmp_path / "mine").write_text("changed")

    assert (world.work / claim.folder / "input").read_text() == TEXT


async def test_a_writer_that_comes_back_does_not_reach_the_claim(tmp_path):
    """Whoever opens the file for writing at the last moment writes to a copy of his own."""
    world = World(tmp_path)
    path = world.drop("a.jsonl", TEXT)
    (drop,) = await world.settled()

    with path.open("r+b") as writer:
        claim = await world.claim(drop)
        writer.write(b"changed")

    assert (world.work / claim.folder / "input").read_text() == TEXT


async def test_drops_that_go_away_or_change_are_not_claimed(tmp_path):
    """What is not there any more, or no longer what was seen, is nobody's claim."""
    world = World(tmp_path)
    gone = world.drop("a.jsonl", TEXT)
    grown = world.drop("b.jsonl", TEXT)
    drops = await world.settled()
    gone.unlink()
    grown.write_text(TEXT * 2)

    assert [await world.claim(drop) for drop in drops] == [None, None]
    assert await world.claims() == []
    assert grown.read_text() == TEXT * 2


@pytest.mark.parametrize("form", ["plain", "folder"])
async def test_a_crash_at_every_effect_of_a_claim_loses_nothing(tmp_path, form):
    """Whatever step we die at, the next life makes the same claim, once."""

    class Crash(BaseException):
        pass

    expected = None
    for stop in range(10_000):
        world = World(tmp_path / str(stop))
        if form == "plain":
            world.drop("a.jsonl", TEXT)
            world.drop("a.toml", "x = 1")
        else:
            world.drop("a/requests.jsonl", TEXT)
            world.drop("a/set.toml", "x = 1")
        steps = 0

        def crash(_moment, _verb, _path, stop=stop):
            nonlocal steps
            if steps == stop:
                raise Crash
            steps += 1

        try:
            with observed(crash):
                await world.take()
            finished = True
        except Crash:
            finished = False
        world.restart()
        claims = {claim.folder: claim for claim in [*await world.claims(), *await world.take()]}
        (claim,) = claims.values()
        expected = expected or (claim.name, claim.options, claim.trouble)
        assert (claim.name, claim.options, claim.trouble) == expected == ("a", "x = 1", None)
        assert (world.work / claim.folder / "input").read_text() == TEXT
        assert list(world.inbox_path.iterdir()) == []
        assert await world.claims() == [claim]
        if finished:
            assert stop > 20
            return


async def test_a_claim_that_was_renamed_half_is_finished(tmp_path):
    """When power was cut in the rename, the file has both names: it is claimed once."""
    world = World(tmp_path)
    world.drop("a.jsonl", TEXT)
    (claim,) = await world.take()
    folder = world.work / claim.folder
    os.link(folder / "input", world.inbox_path / "a.jsonl")
    meta = (folder / "meta.json").read_text().replace('"claimed":true', '"claimed":false')
    (folder / "meta.json").write_text(meta)
    world.restart()

    claims = await world.claims()

    assert [c.folder for c in claims] == [claim.folder]
    assert (folder / "input").read_text() == TEXT
    assert list(world.inbox_path.iterdir()) == []


async def test_a_claim_cut_short_by_a_power_cut_is_refused(tmp_path):
    """A claim whose bytes did not reach the disk is told, never silently short."""
    world = World(tmp_path)
    world.drop("a.jsonl", TEXT)
    (claim,) = await world.take()
    folder = world.work / claim.folder
    meta = (folder / "meta.json").read_text().replace('"claimed":true', '"claimed":false')
    (folder / "meta.json").write_text(meta)
    (folder / "input").chmod(0o600)
    (folder / "input").write_text("")
    world.restart()

    (claim,) = await world.claims()

    assert "power" in claim.trouble


async def test_a_drop_from_another_file_system_is_copied(tmp_path):
    """Where a rename is not possible the drop is copied, synced and then taken away."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        world = World(tmp_path)
        world.inbox_path = type(tmp_path)(other)
        if world.inbox_path.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system here")
        world.restart()
        world.drop("a.jsonl", TEXT)

        (claim,) = await world.take()

        assert (world.work / claim.folder / "input").read_text() == TEXT
        assert list(world.inbox_path.iterdir()) == []


async def test_names_of_a_run_are_kept(tmp_path):
    """A run and copy that were fixed are there after a restart."""
    world = World(tmp_path)
    world.drop("a.jsonl", TEXT)
    (claim,) = await world.take()

    await world.indexing.name_run(claim, 3, 1)
    world.restart()

    (claim,) = await world.claims()
    assert (claim.run, claim.copy) == (3, 1)


async def test_the_timer_wakes_without_a_watcher(tmp_path):
    """Without inotify the clock alone wakes."""
    world = World(tmp_path)
    count = 0
    async for _ in world.inbox.wake():
        count += 1
        if count == 3:
            break

    assert world.clock.seconds == 4
