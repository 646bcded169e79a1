"""A folder is believed to be a set's delivery only if all of it is there, to the byte."""

import hashlib
import json
from pathlib import Path

import pytest

from orchestrator.domain.request_sets import SetInfo, Totals
from orchestrator.ports import Delivery
from orchestrator.spool.delivered import delivered, finished
from tests.store import values

LINES = b'{"key":"a","response":{}}\n' * 1000
INFO = values.set_info()


def summary(info: SetInfo, **changes: object) -> bytes:
    """Return what is told beside results of 1,000 lines."""
    file = {"bytes": len(LINES), "sha256": hashlib.sha256(LINES).hexdigest(), "lines": 1000}
    told = {
        "set": info.id,
        "content": info.content,
        "fingerprint": info.fingerprint,
        "requests": 1000,
        "answered": 990,
        "failed": 10,
        "state": "delivered",
        "files": {"results.jsonl": file},
    }
    return json.dumps(told | changes).encode()


def outbox(root: Path, told: bytes, lines: bytes = LINES) -> Path:
    """Return an outbox with this in the set's folder."""
    folder = root / INFO.outbox
    folder.mkdir()
    (folder / "summary.json").write_bytes(told)
    (folder / "results.jsonl").write_bytes(lines)
    return root


@pytest.mark.parametrize("state", ["delivered", "cancelled"])
def test_what_is_whole_is_believed(tmp_path: Path, state: str) -> None:
    """It says what came out, and how the set ended."""
    told = summary(INFO, state=state)
    outbox(tmp_path, told)
    digest = hashlib.sha256(told).hexdigest()
    expected = Delivery(INFO.outbox, Totals(990, 10), digest, cancelled=state == "cancelled")
    assert delivered(tmp_path, INFO) == expected
    assert finished(tmp_path, [INFO.outbox, "other"]) == {INFO.outbox}


@pytest.mark.parametrize(
    "change",
    [
        {"set": "another"},
        {"content": "other"},
        {"fingerprint": "auto-other"},
        {"requests": 999},
        {"failed": 9},
        {"files": {"gone.jsonl": {"bytes": 0, "sha256": "", "lines": 0}}},
        {"files": None},
    ],
)
def test_what_is_another_sets_is_not(tmp_path: Path, change: dict[str, object]) -> None:
    """Another content, other options, other sums, a file that is not there, no list of files."""
    assert delivered(outbox(tmp_path, summary(INFO, **change)), INFO) is None


@pytest.mark.parametrize("lines", [LINES[:-1], LINES.replace(b"a", b"b", 1)])
def test_what_was_changed_is_not(tmp_path: Path, lines: bytes) -> None:
    """A byte less, or one that is another."""
    assert delivered(outbox(tmp_path, summary(INFO), lines), INFO) is None


def test_what_is_not_there_is_not(tmp_path: Path) -> None:
    """A folder that somebody has taken away meanwhile."""
    assert delivered(tmp_path, INFO) is None
    assert finished(tmp_path, [INFO.outbox]) == frozenset()
