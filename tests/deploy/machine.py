"""A machine for the units: a small Debian with a real systemd as its first process, in a namespace.

It has loopback only, our wheel installed as the units expect it, the emulator as a service of its
own, a user `alice` in the daemon's group and a user `bob` who is not. Needs root, mmdebstrap and
systemd-nspawn.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,procps,python3,python3-venv"
PROGRAM = "/opt/orchestrator/bin/orchestrator"
LIBRARIES = "/opt/libraries"
KEY = "AIza-planted-key-that-nobody-may-ever-see-01"
TOOLS = ("systemd-nspawn", "mmdebstrap", "nsenter")
WAITS_MAX = 300
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
EMULATOR = f"""\
[Service]
ExecStart={PROGRAM} emulator --port 8080 --speed 15 --state-dir /var/lib/emulator --quiet
StateDirectory=emulator
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
        enter = ["nsenter", "-t", str(self.leader), "-a", "env", "-i", "PATH=/usr/bin:/usr/sbin"]
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return subprocess.run(
            [*enter, *become, *command],
            check=False,
            capture_output=True,
            text=True,
            input=given,
            timeout=100,
        )

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
    subprocess.run(["chroot", str(root), "python3", "-m", "venv", "/opt/orchestrator"], check=True)


def install(root: Path, wheel: Path) -> None:
    """Install a wheel and the units of this repository as they tell the operator to."""
    (root / "opt" / "wheels").mkdir(exist_ok=True)
    shutil.copy(wheel, root / "opt" / "wheels")
    pip = ["chroot", str(root), "/opt/orchestrator/bin/pip", "--quiet", "install", "--no-index"]
    pip += ["--no-deps", "--force-reinstall", f"/opt/wheels/{wheel.name}"]
    subprocess.run(pip, check=True)
    beside = root / "opt/orchestrator/lib/python3.11/site-packages/libraries.pth"
    beside.write_text(f"{LIBRARIES}\n")
    deploy = REPOSITORY / "deploy"
    for source, target in (
        ("orchestrator.service", "etc/systemd/system/orchestrator.service"),
        ("orchestrator@.service", "etc/systemd/system/orchestrator@.service"),
        ("orchestrator.sysusers", "etc/sysusers.d/orchestrator.conf"),
        ("orchestrator.tmpfiles", "etc/tmpfiles.d/orchestrator.conf"),
    ):
        place = root / target
        place.parent.mkdir(exist_ok=True)
        shutil.copy(deploy / source, place)
    (root / "etc/systemd/system/emulator.service").write_text(EMULATOR)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")


@contextmanager
def booted(root: Path, log: Path) -> Iterator[Machine]:
    """Boot the machine and shut it down at the end."""
    command = ["systemd-nspawn", "--quiet", "-D", str(root), "--register=no", "--keep-unit"]
    command += ["--private-network", "--console=read-only", "--resolv-conf=off"]
    command += [f"--bind-ro={sysconfig.get_path('purelib')}:{LIBRARIES}"]
    command += ["-b", "systemd.show_status=0"]
    environ = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
    with log.open("wb") as out:
        nspawn = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ
        )
    try:
        machine = _wait_for(nspawn, root, log)
        machine.run("systemd-sysusers")
        machine.run("useradd", "-m", "-G", "orchestrator", "alice")
        machine.run("useradd", "-m", "bob")
        machine.run("systemd-tmpfiles", "--create", "orchestrator.conf")
        machine.write("/etc/orchestrator/gemini_api_key", KEY + "\n", 0o600)
        machine.write("/etc/orchestrator/config.toml", SETTINGS)
        machine.run("systemctl", "start", "emulator")
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
