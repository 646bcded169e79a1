"""E14: the supply chain. What is installed is pinned by hash, what is released is listed, and no
careless code is among it.
"""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "tests/fuzz/requirements.txt")
_NAME = re.compile(r"^([A-Za-z0-9._-]+)==\S+", re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS)
def test_e14_every_dependency_is_one_version_with_its_hashes(lock):
    """Each requirement names one version, has a hash, and comes from no address of its own."""
    text = (ROOT / lock).read_text("utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    pins = [entry for entry in entries if not entry.startswith("#")]

    assert len(_NAME.findall(text)) == len(pins) > 0
    assert all("--hash=sha256:" in entry for entry in pins)
    assert "://" not in text


def test_e14_all_that_the_product_needs_is_in_the_lock():
    """The lock holds each dependency that the package declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {_bare(one) for one in declared["dependencies"]}
    locked = {_bare(name) for name in _NAME.findall((ROOT / "requirements.lock").read_text())}

    assert wanted <= locked


@pytest.mark.soak
def test_e14_the_list_of_a_release_names_what_is_locked(tmp_path):
    """The bill of materials is CycloneDX, with a hash for each locked dependency."""
    listed = tmp_path / "sbom.json"
    _run("cyclonedx-py", "requirements", "requirements.lock", "--output-reproducible",
         "-o", str(listed))  # fmt: skip
    told = json.loads(listed.read_bytes())
    named = {_bare(one["name"]): one for one in told["components"]}
    locked = _NAME.findall((ROOT / "requirements.lock").read_text("utf-8"))

    assert told["bomFormat"] == "CycloneDX"
    assert {_bare(name) for name in locked} <= named.keys()
    assert all(named[_bare(name)]["externalReferences"] for name in locked)


@pytest.mark.soak
def test_e14_no_careless_code_is_found():
    """Bandit finds nothing in the product."""
    _run("bandit", "-q", "-r", "orchestrator", "-c", "pyproject.toml")


@pytest.mark.soak
def test_e14_the_wheel_is_whole_and_the_same_each_time(tmp_path):
    """Built twice it is the same, byte for byte, and holds the migrations and no test."""
    wheels = []
    for turn in ("one", "two"):
        _run("python", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / turn))
        wheels += list((tmp_path / turn).glob("*.whl"))
    names = zipfile.ZipFile(wheels[0]).namelist()

    assert wheels[0].read_bytes() == wheels[1].read_bytes()
    assert any("migrations/versions/" in name for name in names)
    assert not any(name.startswith("tests/") for name in names)


def _run(tool: str, *arguments: str) -> None:
    command = [str(Path(sys.executable).parent / tool), *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]


def _bare(name: str) -> str:
    return re.split(r"[\[<>=~!; ]", name)[0].lower().replace("_", "-").replace(".", "-")
