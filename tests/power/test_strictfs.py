"""The strict file system is a file system, and forgets what was not synced, names too."""

import errno
import mmap
import os
from pathlib import Path

import pytest

from tests.power.strictdisk import StrictDisk, strict_disk, unavailable


@pytest.fixture
def disk(tmp_path: Path):
    """A strict disk."""
    if reason := unavailable():
        pytest.skip(reason)
    with strict_disk(tmp_path / "disk") as disk:
        yield disk


def sync(path: Path) -> None:
    """Sync a file or a folder."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def test_it_is_a_file_system(disk: StrictDisk) -> None:
    """What is written, mapped, renamed, linked and removed is there as elsewhere."""
    place = disk.place
    (place / "a").write_bytes(b"x" * 300_000)
    (place / "folder").mkdir()
    (place / "a").rename(place / "folder" / "b")
    os.link(place / "folder" / "b", place / "c")
    with (place / "c").open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[:3] = b"abc"
    with (place / "c").open("r+b") as file:
        file.truncate(5)
    with pytest.raises(OSError, match="not empty") as refused:
        (place / "folder").rmdir()

    assert refused.value.errno == errno.ENOTEMPTY
    assert (place / "folder" / "b").read_bytes() == b"abcxx"
    assert (place / "c").stat().st_nlink == 2
    assert sorted(path.name for path in place.rglob("*")) == ["b", "c", "folder"]


def test_a_cut_forgets_names_and_contents(disk: StrictDisk) -> None:
    """A file needs its own sync and its folder's; each is lost without its own."""
    place = disk.place
    for name in ("whole", "empty", "nameless"):
        (place / name).mkdir()
    disk.settle()
    for name in ("whole", "empty", "nameless"):
        (place / name / "file").write_bytes(b"content")
    for synced in ("whole/file", "whole", "empty", "nameless/file"):
        sync(place / synced)

    disk.cut()

    assert (place / "whole/file").read_bytes() == b"content"
    assert (place / "empty/file").read_bytes() == b""
    assert list((place / "nameless").iterdir()) == []
