"""The packages: complete, installable without a network, and able to do the whole job."""

import json
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

import orchestrator
from orchestrator.daemon import surroundings

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Build both packages as `make dist` does."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), "."]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(dist, tmp_path_factory):
    """Install the wheel alone into a fresh environment that sees the libraries, not this tree."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    options = ["--quiet", "install", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, str(next(dist.glob("*.whl")))], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    beside = folder / "lib" / version / "site-packages" / "libraries.pth"
    beside.write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(installed, *command, cwd):
    """Run the installed program somewhere else; return what it said."""
    program = str(installed / "bin" / "orchestrator")
    ended = subprocess.run(
        [program, *command], cwd=cwd, check=False, capture_output=True, text=True, timeout=100
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_wheel_has_all_that_is_needed_at_run_time(dist):
    """Migrations, the example of the settings, the type marker, man page and units are in it."""
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())

    data = f"orchestrator-{orchestrator.__version__}.data/data/share"
    revisions = [file.name for file in (REPOSITORY / "migrations/versions").glob("*.py")]
    assert {f"orchestrator/_migrations/versions/{name}" for name in revisions} <= names
    assert {
        "orchestrator/py.typed",
        "orchestrator/_data/config.example.toml",
        f"{data}/man/man1/orchestrator.1",
        f"{data}/orchestrator/orchestrator.service",
    } <= names
    assert not any(name.startswith("tests/") for name in names)


def test_the_source_archive_is_the_whole_project(dist):
    """Every file under version control but the machinery of version control is in it."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, check=False, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("no version control here to compare with")
    with tarfile.open(next(dist.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    there = {each for each in listed.stdout.splitlines() if (REPOSITORY / each).exists()}
    assert {each for each in there - names if not each.startswith(".ci/")} == set()


def test_the_version_is_written_in_one_place(installed, dist, tmp_path):
    """Package, program and metadata say the version of `orchestrator/__init__.py`."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())

    said = run(installed, "--version", cwd=tmp_path)

    assert said == f"orchestrator {orchestrator.__version__}\n"
    assert f"-{orchestrator.__version__}-" in next(dist.glob("*.whl")).name
    assert settings["project"]["dynamic"] == ["version"]


def test_migrations_are_found_in_a_wheel_and_in_a_checkout(installed, tmp_path):
    """The ledger's migrations are found wherever the package was put."""
    ask = "from orchestrator.daemon.surroundings import migrations; print(migrations())"
    python = str(installed / "bin" / "python")

    found = subprocess.run(
        [python, "-c", ask], cwd=tmp_path, check=True, capture_output=True, text=True
    )

    inside = Path(found.stdout.strip())
    assert inside.is_relative_to(installed)
    assert sorted(file.name for file in (inside / "versions").glob("*.py")) == sorted(
        file.name for file in (surroundings.migrations() / "versions").glob("*.py")
    )


def test_the_demo_runs_from_the_wheel(installed, tmp_path):
    """The installed program does the whole job: emulator, daemon, two sets, every answer.

    It shows results of each set, says how to go on, and leaves nothing running.
    """
    said = run(installed, "demo", "--dir", str(tmp_path / "demo"), cwd=tmp_path)

    for name, at_least in (("questions", 3000), ("passages", 1500)):  # each Python has its own text
        asked = json_lines(tmp_path / "demo" / f"{name}.jsonl")
        answered = json_lines(tmp_path / "demo/state/outbox" / name / "results.jsonl")
        assert [line["key"] for line in answered] == [line["key"] for line in asked]
        assert len(asked) > at_least
        assert all("response" in line for line in answered)
        assert said.count(f"outbox/{name}/results.jsonl\n") == 1
    assert "export GEMINI_API_KEY" in said
    assert "rm -r demo" in said
    assert not [line for line in command_lines() if str(tmp_path) in line]


def json_lines(file):
    """Return the values of a JSONL file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def command_lines():
    """Return what runs on this machine."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                found.append((entry / "cmdline").read_text(errors="replace"))
    return found
