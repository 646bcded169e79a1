"""The loop disk really forgets what was not synced, so what survives on it was synced."""

import os
from pathlib import Path

import pytest

from tests.power.loopfs import loop_disk, unavailable


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_cut_forgets_what_was_not_synced(kind: str, tmp_path: Path) -> None:
    """After a cut a synced file is whole; one that was only written is not."""
    if reason := unavailable(kind):
        pytest.skip(reason)
    with loop_disk(tmp_path, kind) as disk:
        for name in ("synced", "written"):
            (disk.place / name).write_bytes(b"x" * 100_000)
        folder = os.open(disk.place, os.O_RDONLY)
        with (disk.place / "synced").open("rb") as file:
            os.fsync(file.fileno())
        os.fsync(folder)
        os.close(folder)

        disk.cut()

        assert (disk.place / "synced").read_bytes() == b"x" * 100_000
        written = disk.place / "written"
        assert not written.exists() or written.read_bytes() != b"x" * 100_000
