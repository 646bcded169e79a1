"""The simulated disk keeps exactly what was synced."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from orchestrator.spool import atomic
from tests.simulation.disk import TMPFS, Disk


@pytest.fixture
def disk() -> Iterator[Disk]:
    """A disk over empty folders in memory."""
    if not os.path.ismount(TMPFS):
        pytest.skip("no tmpfs at /dev/shm: inode numbers would be used twice")
    scratch = Path(tempfile.mkdtemp(prefix="disk-", dir=TMPFS))
    (scratch / "state").mkdir()
    made = Disk(scratch / "state")
    with made.listening():
        yield made
    shutil.rmtree(scratch)


def tree(disk: Disk) -> dict[str, bytes]:
    """What a reader sees: path → content."""
    return {
        str(path.relative_to(disk.root)): path.read_bytes()
        for path in sorted(disk.root.rglob("*"))
        if path.is_file()
    }


def test_a_whole_write_survives(disk: Disk) -> None:
    """What the spool writes whole is there after a cut."""
    atomic.write_file(disk.root / "a", b"whole")

    disk.cut()

    assert tree(disk) == {"a": b"whole"}


def test_what_was_not_synced_is_gone(disk: Disk) -> None:
    """A file without fsync is empty; a name without a folder's fsync is not there."""
    (disk.root / "unsynced").write_bytes(b"data")
    atomic.fsync_dir(disk.root)
    (disk.root / "nameless").write_bytes(b"data")
    atomic.fsync_path(disk.root / "nameless")

    disk.cut()

    assert tree(disk) == {"unsynced": b""}


def test_a_rename_lasts_only_with_its_folder(disk: Disk) -> None:
    """Without the folder's fsync the old name comes back, with its content and its inode."""
    atomic.write_file(disk.root / "old", b"x")
    inode = (disk.root / "old").stat().st_ino
    atomic.rename(disk.root / "old", disk.root / "new")

    disk.cut()

    assert tree(disk) == {"old": b"x"}
    assert (disk.root / "old").stat().st_ino == inode


def test_a_half_durable_rename_leaves_both_names(disk: Disk) -> None:
    """With only the target's folder synced, one inode stands under two names."""
    for name in ("one", "two"):
        atomic.mkdir(disk.root / name)
    atomic.fsync_dir(disk.root)
    atomic.write_file(disk.root / "one/file", b"x")
    atomic.rename(disk.root / "one/file", disk.root / "two/file")
    atomic.fsync_dir(disk.root / "two")

    disk.cut()

    assert tree(disk) == {"one/file": b"x", "two/file": b"x"}
    assert (disk.root / "one/file").samefile(disk.root / "two/file")


def test_a_file_that_moves_keeps_a_name_whatever_had_it_before(disk: Disk) -> None:
    """Of a moved file one name is left, though a folder that is gone once durably named it."""
    for seed in range(20):
        (disk.root / "gone").mkdir()
        (disk.root / "new").mkdir()
        (disk.root / "file").write_bytes(b"all there is")
        os.link(disk.root / "file", disk.root / "gone/file")
        disk.settle()
        (disk.root / "gone/file").unlink()
        (disk.root / "gone").rmdir()
        (disk.root / "file").rename(disk.root / "new/file")

        disk.cut(Random(seed))

        names = [path for path in disk.root.rglob("file") if path.is_file()]
        assert names
        for name in names:
            name.unlink()
        for folder in ("gone", "new"):
            shutil.rmtree(disk.root / folder, ignore_errors=True)
        disk.settle()


def test_a_removed_file_comes_back(disk: Disk) -> None:
    """An unlink that was not synced did not happen, even after the inode is gone."""
    atomic.write_file(disk.root / "a", b"still here")
    atomic.unlink(disk.root / "a")

    disk.cut()

    assert tree(disk) == {"a": b"still here"}


def test_an_overwrite_in_place_is_lost(disk: Disk) -> None:
    """Appended bytes without fsync are gone, the synced ones are not."""
    atomic.write_file(disk.root / "a", b"first")
    with (disk.root / "a").open("ab") as file:
        file.write(b" second")

    disk.cut()

    assert tree(disk) == {"a": b"first"}


def test_a_deaf_fsync_is_an_fsync_that_never_was(disk: Disk) -> None:
    """A skipped sync is reported done; only the power cut tells."""
    disk.deaf = frozenset({1})
    atomic.write_file(disk.root / "a", b"data")

    disk.cut()

    assert disk.syncs == 2
    assert tree(disk) == {"a": b""}


def test_chance_leaves_only_legal_states(disk: Disk) -> None:
    """By chance an unsynced file is absent, empty, torn or whole, and a synced one always whole."""
    seen = set()
    for seed in range(60):
        atomic.write_file(disk.root / "safe", b"safe")
        (disk.root / "risky").write_bytes(b"0123456789")

        disk.cut(Random(seed))

        left = tree(disk)
        assert left["safe"] == b"safe"
        risky = left.get("risky")
        assert risky is None or b"0123456789".startswith(risky)
        seen.add("absent" if risky is None else "whole" if len(risky) == 10 else "torn")
        (disk.root / "risky").unlink(missing_ok=True)
        disk.settle()
    assert seen == {"absent", "whole", "torn"}
