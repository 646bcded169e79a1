"""A claim, step by step: whatever happens between two steps, the drop is whole in one place."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator.spool import claim
from orchestrator.spool.atomic import Moment, observed
from orchestrator.spool.claim import Wanted, discard, disk_bytes, secure, take
from orchestrator.spool.drops import look
from orchestrator.spool.meta import Meta
from tests.spool.worlds import World, lines

TEXT = lines("a", "b")
SHM = Path("/dev/shm")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def elsewhere(work: Path) -> Iterator[Path]:
    """An inbox on another file system than `work`."""
    place = Path(tempfile.mkdtemp(dir=SHM))
    if place.stat().st_dev == work.stat().st_dev:
        pytest.skip("/dev/shm and the temporary folder are one file system")
    yield place
    shutil.rmtree(place)


def wanted(inbox: Path) -> Wanted:
    """Return the one drop that lies in the inbox."""
    ((one, _),) = (found for found in look(inbox, ()) if found is not None)
    return one


def drop(inbox: Path, name: str = "a.jsonl", text: str = TEXT) -> Wanted:
    """Drop something and return how it is seen."""
    (inbox / name).parent.mkdir(exist_ok=True)
    (inbox / name).write_text(text)
    return wanted(inbox)


def taken(inbox: Path, work: Path, one: Wanted) -> Path:
    """Do the first half of a claim and return its folder."""
    name = take(inbox, work, one)
    assert name is not None
    return work / name


def secured(inbox: Path, work: Path, folder: Path) -> Meta:
    """Do the second half."""
    meta = secure(inbox, work, folder.name, patient=False)
    assert meta is not None
    return meta


@contextmanager
def happening(wanted: tuple[Moment, str, str], act: Callable[[], object]) -> Iterator[None]:
    """Let something happen before or after the first effect of a kind on a file of that name."""
    waiting = [wanted]

    def hear(moment: Moment, verb: str, path: Path) -> None:
        if (moment, verb, path.name) in waiting:
            waiting.clear()
            act()

    with observed(hear):
        yield


def fail(code: int) -> Callable[[], object]:
    """Return what fails as the disk does."""

    def failing() -> None:
        raise OSError(code, os.strerror(code))

    return failing


def test_a_drop_that_is_taken_away_before_its_move_leaves_nothing(inbox: Path, work: Path) -> None:
    """Who takes a drop back in the last moment has it, and no folder remains of the claim."""
    one = drop(inbox)
    with happening(("before", "rename", "input"), (inbox / "a.jsonl").unlink):
        assert take(inbox, work, one) is None
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("other")])
def test_a_drop_that_changed_since_it_was_seen_is_left(
    inbox: Path, work: Path, change: Callable[[Path], object]
) -> None:
    """It is looked at anew, from the beginning."""
    one = drop(inbox)
    change(inbox / "a.jsonl")
    assert take(inbox, work, one) is None
    assert list(work.iterdir()) == []


def test_an_error_of_the_disk_goes_up(inbox: Path, work: Path) -> None:
    """Nothing is known about a move that failed so: the drop stays, the error is told."""
    one = drop(inbox)
    with (
        happening(("before", "rename", "input"), fail(errno.EIO)),
        pytest.raises(OSError, match="Input/output"),
    ):
        take(inbox, work, one)
    assert (inbox / "a.jsonl").read_text() == TEXT


def test_a_move_that_a_power_cut_left_half_done_is_ended(inbox: Path, work: Path) -> None:
    """Where both names of drop and options survived, those in the inbox go; nothing is copied."""
    (inbox / "a.toml").write_text('model = "m"\n')
    folder = taken(inbox, work, drop(inbox))
    secured(inbox, work, folder)
    (folder / "meta.json").write_text((folder / "meta.json").read_text().replace("true", "false"))
    os.link(folder / "input", inbox / "a.jsonl")
    os.link(folder / "options.toml", inbox / "a.toml")
    inode = (folder / "input").stat().st_ino

    meta = secured(inbox, work, folder)

    assert (meta.claimed, meta.trouble) == (True, None)
    assert list(inbox.iterdir()) == []
    assert (folder / "input").stat().st_ino == inode
    assert (folder / "input").read_text() == TEXT


def test_a_drop_that_has_a_third_name_is_left(inbox: Path, work: Path) -> None:
    """Who links the same file in once more has dropped it once more."""
    drop(inbox)
    os.link(inbox / "a.jsonl", inbox.parent / "kept")
    folder = taken(inbox, work, wanted(inbox))
    os.link(inbox.parent / "kept", inbox / "a.jsonl")

    assert secured(inbox, work, folder).claimed
    assert (inbox / "a.jsonl").exists()


def test_a_move_is_ended_by_who_takes_the_drop_again(inbox: Path, work: Path) -> None:
    """A claim that died right after its move, seen once more in the inbox, goes on where it was."""
    one = drop(inbox)
    folder = work / one.folder
    folder.mkdir()
    os.link(inbox / "a.jsonl", folder / "input")
    one = wanted(inbox)
    if one.folder != folder.name:  # the link made it another, by its time of change
        folder = folder.rename(work / one.folder)

    assert taken(inbox, work, one) == folder
    assert list(inbox.iterdir()) == []
    assert secured(inbox, work, folder).claimed


def test_what_is_claimed_is_not_taken_twice(inbox: Path, work: Path) -> None:
    """A name in the inbox of what is claimed already is taken away; a folder's is left."""
    folder = taken(inbox, work, drop(inbox))
    meta = secured(inbox, work, folder)
    left = drop(inbox)
    again = folder.rename(work / left.folder)

    assert take(inbox, work, left) == again.name
    assert list(inbox.iterdir()) == []
    assert secure(inbox, work, again.name, patient=True) == meta

    (again / "input").unlink()
    left = drop(inbox)
    again = again.rename(work / left.folder)
    assert take(inbox, work, left) == again.name
    assert (inbox / "a.jsonl").exists()


def test_a_drop_that_cannot_be_opened_carries_its_trouble(inbox: Path, work: Path) -> None:
    """What became a link is never followed; what is gone without a trace is an error."""
    folder = taken(inbox, work, drop(inbox))
    (folder / "input").unlink()
    with pytest.raises(FileNotFoundError):
        secure(inbox, work, folder.name, patient=False)

    (folder / "input").symlink_to("/etc/passwd")
    meta = secured(inbox, work, folder)

    assert meta.trouble is not None
    assert meta.trouble.startswith("it cannot be read")


def test_somebody_who_still_writes_is_waited_for(inbox: Path, work: Path) -> None:
    """With patience the claim is not ended while the file is open for writing."""
    folder = taken(inbox, work, drop(inbox))
    with (folder / "input").open("a"):
        assert secure(inbox, work, folder.name, patient=True) is None
    assert secured(inbox, work, folder).claimed


def test_options_are_those_that_were_seen_or_it_is_refused(inbox: Path, work: Path) -> None:
    """Without its options, taken away or replaced meanwhile, a drop would run at another model."""
    for late in (None, "priority = 2"):
        (inbox / "a.toml").write_text("priority = 1")
        folder = taken(inbox, work, drop(inbox))
        (inbox / "a.toml").rename(inbox.parent / "kept")
        if late is not None:
            (inbox / "a.toml").write_text(late)

        trouble = secured(inbox, work, folder).trouble

        assert trouble is not None
        assert trouble.startswith("its options were taken away or replaced")
        assert not (folder / "options.toml").exists()
        assert (inbox / "a.toml").exists() is (late is not None)
        (inbox.parent / "kept").unlink()


def test_options_are_durable_before_the_claim_is_ended(inbox: Path, work: Path) -> None:
    """Nobody knows whether their producer synced them: they are, before meta.json says claimed."""
    (inbox / "a.toml").write_text("priority = 1")
    folder = taken(inbox, work, drop(inbox))
    heard: list[tuple[str, str]] = []

    def hear(_moment: Moment, verb: str, path: Path) -> None:
        heard.append((verb, path.name))

    with observed(hear):
        secured(inbox, work, folder)

    ended = heard.index(("fsync", "meta.json"))
    assert ("fsync", "options.toml") in heard[:ended]
    assert ("fsync", "input") in heard[:ended]


@pytest.mark.parametrize("shape", ["file", "folder"])
@pytest.mark.parametrize("lost", ["options.toml", "input"])
def test_what_a_power_cut_shortened_is_refused(
    inbox: Path, work: Path, shape: str, lost: str
) -> None:
    """Requests or options whose bytes did not reach the disk are told, never silently short."""
    name = "set/requests.jsonl" if shape == "folder" else "a.jsonl"
    (inbox / "set").mkdir()
    (inbox / ("set/set.toml" if shape == "folder" else "a.toml")).write_text("priority = 1")
    if shape == "file":
        (inbox / "set").rmdir()
    folder = taken(inbox, work, drop(inbox, name))
    before = (folder / "meta.json").read_bytes()
    secured(inbox, work, folder)
    (folder / "meta.json").write_bytes(before)
    (folder / lost).chmod(0o600)
    (folder / lost).write_text("")

    trouble = secured(inbox, work, folder).trouble

    assert trouble is not None
    assert "power was cut before it was safe" in trouble


def test_a_folder_is_unfolded_step_by_step(inbox: Path, work: Path) -> None:
    """Its requests and options find their places, whatever was moved already."""
    (inbox / "set").mkdir()
    (inbox / "set" / "set.toml").write_text("parts = true")
    folder = taken(inbox, work, drop(inbox, "set/requests.jsonl"))
    with (
        happening(("before", "rename", "options.toml"), fail(errno.EIO)),
        pytest.raises(OSError, match="Input/output"),
    ):
        secure(inbox, work, folder.name, patient=False)

    assert secured(inbox, work, folder).trouble is None
    assert (folder / "input").read_text() == TEXT
    assert (folder / "options.toml").read_text() == "parts = true"


def test_a_folder_needs_no_options(inbox: Path, work: Path) -> None:
    """What is alone in a folder is a drop by the settings' options."""
    folder = taken(inbox, work, drop(inbox, "set/requests.jsonl"))

    assert secured(inbox, work, folder).trouble is None
    assert sorted(one.name for one in folder.iterdir()) == ["drop", "input", "meta.json"]


def test_what_is_in_a_folder_must_be_a_file(inbox: Path, work: Path) -> None:
    """A link in the place of the requests is refused, and so is one that is gone."""
    (inbox / "set").mkdir()
    (inbox / "set" / "requests.jsonl").symlink_to("/etc/passwd")
    folder = taken(inbox, work, wanted(inbox))

    meta = secured(inbox, work, folder)

    assert meta.trouble == "requests.jsonl in it is not a regular file"


def test_a_drop_from_another_file_system_is_copied(elsewhere: Path, work: Path) -> None:
    """It is copied first, and its name is taken away after that."""
    folder = taken(elsewhere, work, drop(elsewhere))

    assert (folder / "input").read_text() == TEXT
    assert list(elsewhere.iterdir()) == []
    assert secured(elsewhere, work, folder).claimed


def test_a_drop_that_changes_while_it_is_copied_stays(elsewhere: Path, work: Path) -> None:
    """The copy is thrown away; the drop is looked at anew."""
    one = drop(elsewhere)
    change = (elsewhere / "a.jsonl").write_text
    with happening(("after", "write", "input"), lambda: change("other")):
        assert take(elsewhere, work, one) is None
    assert list(work.iterdir()) == []
    assert (elsewhere / "a.jsonl").read_text() == "other"


def test_a_folder_cannot_come_from_another_file_system(elsewhere: Path, work: Path) -> None:
    """It is left where it is, and the error says what must be changed."""
    one = drop(elsewhere, "set/requests.jsonl")
    with pytest.raises(OSError, match="must lie on one file system"):
        take(elsewhere, work, one)
    assert (elsewhere / "set" / "requests.jsonl").read_text() == TEXT


@pytest.mark.parametrize("last", ["mkdir", "write", "fsync"])
async def test_a_claim_that_died_unborn_leaves_nothing(tmp_path: Path, last: str) -> None:
    """Whose drop is taken back meanwhile, its folder without a meta.json goes at the next look."""
    world = World(tmp_path)
    path = world.drop("a.jsonl", TEXT)
    (seen,) = await world.settled()
    name = "meta.json" if last != "mkdir" else wanted(world.inbox_path).folder
    with happening(("after", last, name), fail(errno.EIO)), pytest.raises(OSError, match="Input"):
        await world.claim(seen)
    path.unlink()
    (world.work / "a-note").write_text("somebody's")
    (world.work / "kept").mkdir()
    (world.work / "kept" / "something").write_text("somebody's")

    world.restart()
    assert await world.claims() == []

    assert {one.name for one in world.work.iterdir()} == {"a-note", "kept"}


def test_a_set_s_folder_goes_at_once(inbox: Path, work: Path) -> None:
    """Its room is told as long as it is there; removing it again does nothing."""
    folder = taken(inbox, work, drop(inbox))
    assert disk_bytes(folder) >= claim.BLOCK_BYTES
    for _ in range(2):
        discard(work, folder.name)
        assert list(work.iterdir()) == []
    assert disk_bytes(folder) == 0
