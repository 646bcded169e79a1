"""What lies in `rejected/`: only whole refusals of ours are counted and removed."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator.ports import Refusal
from orchestrator.spool.claim import REMOVING
from orchestrator.spool.refused import forget, refusals

THEN = datetime(2026, 3, 1, tzinfo=UTC)


def refused(root: Path, name: str, at: datetime = THEN, state: str = "rejected") -> Path:
    """Lay a folder as a refusal leaves it."""
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "input.jsonl").write_text("no JSON\n" * 1000)
    summary = folder / "summary.json"
    summary.write_text(json.dumps({"set": "aaaaaaaaaa", "state": state}))
    os.utime(summary, (at.timestamp(), at.timestamp()))
    return folder


def test_what_was_refused_has_an_age_and_a_size(tmp_path: Path) -> None:
    """The age counts from when the folder was whole, the size is that on the disk."""
    folder = refused(tmp_path, "bad")

    (found,) = refusals(tmp_path)

    blocks = sum(file.stat().st_blocks for file in folder.iterdir())
    assert found == Refusal("bad", THEN, blocks * 512)
    assert refusals(tmp_path / "nowhere") == []


def test_what_is_not_ours_is_not_seen(tmp_path: Path) -> None:
    """Unfinished folders, files, links and what people put there are left alone."""
    elsewhere = refused(tmp_path / "elsewhere", "target")
    root = tmp_path / "rejected"
    (root / "unfinished").mkdir(parents=True)
    (root / "notes.txt").write_text("mine")
    (root / "link").symlink_to(elsewhere)
    refused(root, "delivered", state="delivered")
    (root / "strange").mkdir()
    (root / "strange" / "summary.json").write_text("{")

    assert refusals(root) == []


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    """Said twice it is gone once; its neighbours stay, and a long name is no trouble."""
    long = "n" * 255
    refused(tmp_path, long)
    kept = refused(tmp_path, "kept", THEN + timedelta(days=1))
    found = {one.name: one for one in refusals(tmp_path)}

    for _ in range(2):
        forget(tmp_path, found[long])

    assert list(tmp_path.iterdir()) == [kept]
    assert (kept / "input.jsonl").exists()


def test_another_refusal_under_the_name_stays(tmp_path: Path) -> None:
    """What was seen is no longer what lies there: it is not touched."""
    refused(tmp_path, "bad", THEN + timedelta(seconds=1))

    forget(tmp_path, Refusal("bad", THEN, 0))

    assert (tmp_path / "bad" / "summary.json").exists()


def test_a_removal_that_was_cut_short_is_ended(tmp_path: Path) -> None:
    """What was on its way out goes at the next look, and is not taken for anything else."""
    refused(tmp_path, f"{REMOVING}abc")

    assert refusals(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
