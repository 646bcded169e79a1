"""The units as systemd itself judges them, without booting anything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.doctor_machine import unit as looked_over
from orchestrator.cli.failure import (
    CANNOT_CREATE,
    CONFIG,
    DATA,
    NO_INPUT,
    NO_PERMISSION,
    USAGE,
)

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ["orchestrator.service", "orchestrator@.service"]
EXPOSURE_MAX = "11"  # tenths; the tightest usual daemon has 12
PROGRAM = "/opt/orchestrator/bin/orchestrator"


@pytest.fixture(scope="module")
def analyze():
    """Return systemd's own judge; without it nothing here is proven, which CI must not overlook."""
    found = shutil.which("systemd-analyze")
    if found is None:
        said = "systemd-analyze is not here: the units were NOT checked; apt-get install systemd"
        if os.environ.get("CI") == "true" and installable("systemd"):
            pytest.fail(said)
        pytest.skip(said)
    return found


def installable(package):
    """Tell whether this machine could install a package now."""
    if shutil.which("apt-get") is None:
        return False
    tried = subprocess.run(
        ["apt-get", "install", "--simulate", "-y", package], check=False, capture_output=True
    )
    return tried.returncode == 0


def settings(name):
    """Return the [Service] part of a unit as pairs, in order."""
    lines = (DEPLOY / name).read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if re.match(r"[A-Z]\w+=", line)]


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(analyze, tmp_path, name):
    """Each unit is free of errors and warnings, once its program is there."""
    there = tmp_path / name
    there.write_text((DEPLOY / name).read_text().replace(PROGRAM, sys.executable))

    wanted = str(there).replace("@.", "@one.")
    if wanted != str(there):
        Path(wanted).write_text(there.read_text())
    said = subprocess.run(
        [analyze, "verify", "--man=no", wanted], check=False, capture_output=True, text=True
    )

    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@pytest.mark.parametrize("name", UNITS)
def test_the_exposure_of_a_unit_is_at_most_1_1(analyze, name):
    """Each unit is confined more tightly than the tightest usual daemon."""
    command = [analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager"]

    said = subprocess.run(
        [*command, str(DEPLOY / name)], check=False, capture_output=True, text=True
    )

    assert said.returncode == 0, said.stdout


def test_the_template_differs_only_in_what_an_instance_owns():
    """An instance has its own settings, key, state and socket, and the same walls."""
    one, many = (settings(name) for name in UNITS)

    changed = {new for old, new in zip(one, many, strict=True) if old != new}

    assert {name for name, _ in changed} == {
        "Description",
        "ExecStart",
        "LoadCredential",
        "StateDirectory",
        "RuntimeDirectory",
    }
    assert all("%i" in value for _, value in changed)


def test_no_restart_follows_what_a_restart_cannot_mend():
    """Exit codes of wrong settings, input and permissions stop the unit; others restart it."""
    said = dict(settings("orchestrator.service"))["RestartPreventExitStatus"]

    final = {USAGE, DATA, NO_INPUT, CANNOT_CREATE, NO_PERMISSION, CONFIG}
    assert {int(code) for code in said.split()} == final


def test_the_doctor_accepts_the_unit(tmp_path):
    """What `orchestrator doctor` demands of an installed unit is what this one has."""
    shutil.copy(DEPLOY / "orchestrator.service", tmp_path)

    (finding,) = looked_over((str(tmp_path),))

    assert finding.verdict == "ok", finding


@pytest.mark.parametrize("place", [*(f"deploy/{name}" for name in UNITS), "Dockerfile"])
def test_asserts_stay_in_force(place):
    """Nothing starts Python in a way that removes asserts."""
    text = (DEPLOY.parent / place).read_text()

    assert not re.search(r"PYTHONOPTIMIZE|python3?\s+-O", text)


def test_the_inbox_is_open_to_the_group_and_to_nobody_else():
    """Whoever can write to the inbox spends money, so only the daemon's group can."""
    lines = (DEPLOY / "orchestrator.tmpfiles").read_text().splitlines()

    (inbox,) = [line.split() for line in lines if "/inbox" in line]

    assert inbox[2:5] == ["2770", "orchestrator", "orchestrator"]


def test_the_user_of_the_unit_is_the_one_that_is_made():
    """sysusers makes the user and group as whom the unit runs."""
    made = (DEPLOY / "orchestrator.sysusers").read_text()
    ran = dict(settings("orchestrator.service"))

    assert re.search(rf"^u {ran['User']} ", made, re.MULTILINE)
    assert ran["Group"] == ran["User"]
