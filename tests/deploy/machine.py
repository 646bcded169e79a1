"""A machine for the units: a small Debian with a real systemd as its first process, in a namespace.

It has loopback only, the unpacked source archive, wheels in place of a registry, and two users,
`alice` and `bob`. Nothing of ours is installed: that is for the commands of the operator's guide.
Needs root, mmdebstrap and systemd-nspawn.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,procps,python3,python3-venv,sudo,man-db"
PROGRAM = "orchestrator"  # by its name, as the guide says
SOURCES = "/root/orchestrator"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
PIP = "[global]\nno-index = true\nfind-links = /opt/wheels\n"
KEY = "AIza-planted-key-that-nobody-may-ever-see-01"
HOST = "orchestrator-test"
TOOLS = ("systemd-nspawn", "mmdebstrap", "nsenter")
WAITS_MAX = 300
PATIENCE_SECONDS = 300
BOOKS = "http://127.0.0.1:8080/__emulator__/ledger"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"
SETTINGS = """\
[gemini]
base_url = "http://localhost:8080"
[limits]
max_requests_per_batch = 100
[intake]
settle_seconds = 0.2
[polling]
interval_min_seconds = 0.5
interval_max_seconds = 1.0
[profiles.default]
model = "gemini-2.5-flash"
"""
EMULATOR = """\
[Service]
ExecStart=/opt/orchestrator/bin/orchestrator emulator --speed 15 --state-dir ${STATE_DIRECTORY}
StateDirectory=emulator
StandardOutput=null
"""


class Failed(Exception):
    """A command in the machine ended badly."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted machine. Commands run in it as root, or as `user`."""

    root: Path
    leader: int

    def run(self, *command: str, user: str | None = None, given: str = "") -> str:
        """Run a command to its end and return what it said; raises Failed."""
        ended = self.attempt(*command, user=user, given=given)
        if ended.returncode:
            raise Failed(f"{command}: {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def attempt(
        self, *command: str, user: str | None = None, given: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, however that is."""
        home = f"HOME=/home/{user}" if user else "HOME=/root"
        enter = ["nsenter", "-t", str(self.leader), "-a", "env", "-i", f"PATH={PATH}", home]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return subprocess.run(
            [*enter, *become, *command],
            check=False,
            capture_output=True,
            text=True,
            input=given,
            timeout=PATIENCE_SECONDS,
        )

    def type(self, commands: str, given: str = "") -> str:
        """Run what a page shows, as root in the folder of the sources; raises Failed."""
        return self.run("bash", "-euc", f"cd {SOURCES}\n{commands}", given=given)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine."""
        self.run("install", "-D", "-m", f"{mode:o}", "/dev/stdin", path, given=text)

    def show(self, name: str, unit: str = "orchestrator") -> str:
        """Return a property of a unit."""
        return self.run("systemctl", "show", unit, "-p", name, "--value").strip()

    def adjust(self, **settings: str) -> None:
        """Change settings of the daemon's unit until the next `adjust`."""
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        place = "/run/systemd/system/orchestrator.service.d/test.conf"
        self.write(place, f"[Service]\n{lines}")
        self.run("systemctl", "daemon-reload")

    def until(self, condition, what: str) -> None:
        """Look again and again until the condition holds; fail when it never does."""
        for _ in range(WAITS_MAX):
            if condition():
                return
            self.run("sleep", "0.1")
        said = self.run("systemctl", "status", "orchestrator", "--no-pager", "-l")
        pytest.fail(f"never {what}:\n{said}")

    def status(self) -> Any:
        """Return the daemon's own status, as a member of its group sees it."""
        said = self.run(PROGRAM, "status", "--json", user="alice")
        return json.loads(said)["status"]

    def books(self) -> Any:
        """Return what the emulator was paid for."""
        return json.loads(self.run("python3", "-c", FETCH, BOOKS))


def missing() -> str | None:
    """Say why no machine can be booted here; None if it can."""
    if os.geteuid() != 0:
        return "booting a machine needs root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"apt-get install systemd-container mmdebstrap ({', '.join(absent)} not found)"
    if sys.version_info[:2] != (3, 11):
        return f"{SUITE} has Python 3.11, whose libraries this interpreter does not have"
    return None


def debian(root: Path) -> None:
    """Make the files of the machine; $TEST_DEBIAN may name a folder that has them already."""
    if ready := os.environ.get("TEST_DEBIAN"):
        subprocess.run(["cp", "-a", ready, str(root)], check=True)
        return
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE]
    subprocess.run([*command, str(root)], check=True)


def sources(place: Path) -> None:
    """Build the source archive of this repository and unpack it to a place that is not there."""
    made = place.parent / f"{place.name}-archive"
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(made)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    with tarfile.open(next(made.glob("*.tar.gz"))) as archive:
        (top,) = {name.partition("/")[0] for name in archive.getnames()}
        archive.extractall(made, filter="data")
    (made / top).rename(place)
    shutil.rmtree(made)


def wheels(folder: Path) -> None:
    """Fetch what the lock names, by hash, and what our own package is built with."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    lock = ["--no-deps", "--require-hashes", "-r", str(REPOSITORY / "requirements.lock")]
    for wanted in (lock, settings["build-system"]["requires"]):
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
        subprocess.run([*fetch, "-d", str(folder), *wanted], check=True, capture_output=True)


def furnish(root: Path) -> None:
    """Put into the machine what the operator brings along, and what stands for the network."""
    sources(root / SOURCES.lstrip("/"))
    wheels(root / "opt/wheels")
    (root / "etc/pip.conf").write_text(PIP)
    (root / "etc/hostname").write_text(f"{HOST}\n")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {HOST}\n")
    (root / "etc/systemd/system/emulator.service").write_text(EMULATOR)


@contextmanager
def booted(root: Path, log: Path) -> Iterator[Machine]:
    """Boot the machine and shut it down at the end."""
    command = ["systemd-nspawn", "--quiet", "-D", str(root), "--register=no", "--keep-unit"]
    command += ["--private-network", "--console=read-only", "--resolv-conf=off"]
    command += ["-b", "systemd.show_status=0"]
    environ = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with log.open("wb") as out:
        nspawn = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ
        )
    try:
        machine = _wait_for(nspawn, root, log)
        for user in ("alice", "bob"):
            machine.run("useradd", "-m", user)
        yield machine
        machine.attempt("systemctl", "poweroff")
        nspawn.wait(30)
    finally:
        nspawn.kill()
        nspawn.wait()


def _wait_for(nspawn: "subprocess.Popen[bytes]", root: Path, log: Path) -> Machine:
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    for _ in range(WAITS_MAX):
        if nspawn.poll() is not None:
            break
        if leader := children.read_text().split():
            machine = Machine(root, int(leader[0]))
            state = machine.attempt("systemctl", "is-system-running").stdout.strip()
            if state in {"running", "degraded"}:
                return machine
        subprocess.run(["sleep", "0.1"], check=True)
    pytest.fail(f"the machine did not boot: {log.read_text()}")
