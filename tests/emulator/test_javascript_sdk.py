"""The official JavaScript SDK drives the emulator unchanged but for its base URL."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.served import served

HERE = Path(__file__).parent / "js"


def _without(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; in CI the JavaScript SDK must be driven")
    pytest.skip(f"{what}; install Node.js 20 or newer with npm to run this proof")


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the SDK installed by npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        _without("node or npm is missing")
    folder = tmp_path_factory.mktemp("sdk")
    for name in ("package.json", "drive.mjs"):
        shutil.copy(HERE / name, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    installed = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )
    if installed.returncode != 0:
        _without(f"npm could not install @google/genai ({installed.stderr.strip()[-200:]})")
    return folder


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_javascript_sdk_is_served(sdk: Path, tmp_path: Path) -> None:
    """Create, get, list, cancel, delete, files, embeddings and errors work as JavaScript sees."""
    (tmp_path / "files").mkdir()
    with served(tmp_path) as base:
        command = ["node", "drive.mjs", base, str(tmp_path / "files")]
        run = subprocess.run(
            command, cwd=sdk, capture_output=True, text=True, timeout=110, check=False
        )
    assert run.returncode == 0, run.stderr
    seen: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])

    assert seen["inline"]["first"] == "JOB_STATE_PENDING"
    assert seen["inline"]["last"] == "JOB_STATE_SUCCEEDED"
    assert seen["inline"]["displayName"] == "inline"
    assert [text.split(": ")[-1] for text in seen["inline"]["texts"]] == ["one", "two"]
    assert seen["inline"]["metadata"] == {"key": "a"}
    assert seen["file"] == {
        "state": "ACTIVE",
        "sizeBytes": str((tmp_path / "files" / "in.jsonl").stat().st_size),
        "got": True,
        "keys": ["r0", "r1", "r2"],
    }
    assert (seen["embeddings"], seen["embeddingsByFile"]) == ([5, 5], 3)
    assert seen["cancelled"] == "JOB_STATE_CANCELLED"
    assert (seen["listed"], seen["files"]) == (5, 1)
    assert seen["errors"] == {"deletedBatch": 404, "deletedFile": 403, "model": 404, "missing": 403}
