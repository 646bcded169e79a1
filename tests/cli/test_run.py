"""`run` and `demo` as real processes, started and ended as people do."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.demo import interruptible
from orchestrator.status.client import Client, Unreachable
from tests.waiting import until

PROGRAM = [sys.executable, "-m", "orchestrator"]
KEY = "AIzaSyTESTKEY_abcdefghijklmnopqrstuvwxyz0"


@pytest.fixture
def environ(home):
    """Return an environment for a daemon that meets nobody: its service is not there."""
    return dict(os.environ) | {
        "GEMINI_API_KEY": KEY,
        "ORCHESTRATOR_GEMINI__BASE_URL": "http://127.0.0.1:9",
        "HOME": str(home),
    }


@pytest.fixture
def running(home, environ):
    """Return a function that starts a daemon and waits until it answers."""
    started = []

    def start(**more):
        with (home / "daemon.log").open("ab") as log:
            process = subprocess.Popen([*PROGRAM, "run"], env=environ | more, stderr=log)
        started.append(process)
        client = Client(home / "s" / "orchestrator.sock")

        def answers():
            assert process.poll() is None, (home / "daemon.log").read_text()
            try:
                return client.status()
            except Unreachable:
                return None

        until(answers)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_second_daemon_says_who_is_there_and_ends_with_75(running, environ):
    """Two daemons on one state directory would pay twice; the second one ends at once."""
    first = running()

    second = subprocess.run(
        [*PROGRAM, "run"], env=environ, capture_output=True, text=True, check=False
    )

    assert second.returncode == os.EX_TEMPFAIL
    assert f"another daemon works here (pid {first.pid}, since " in second.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(running, number):
    """SIGTERM and Ctrl-C end the daemon within seconds, with 0, and its socket is gone."""
    process = running()

    process.send_signal(number)

    assert process.wait(10) == 0


@pytest.mark.slow
def test_the_key_is_nowhere(running, home):
    """The key is in no line of the log, no file, no answer and no argument."""
    process = running(ORCHESTRATOR_SERVICE__LOG_LEVEL="debug")
    said = json.dumps(Client(home / "s" / "orchestrator.sock").status())
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    process.terminate()
    process.wait(10)

    files = [file.read_bytes() for file in home.rglob("*") if file.is_file()]

    assert KEY not in said
    assert all(KEY.encode() not in content for content in (*files, arguments))
    assert (home / "daemon.log").stat().st_size > 0


@pytest.mark.slow
def test_the_daemon_leaves_no_core_and_cannot_be_traced(running):
    """The process is sealed before it reads its key."""
    process = running()

    limits = Path(f"/proc/{process.pid}/limits").read_text()

    assert "Max core file size        0                    0" in limits


@pytest.mark.slow
@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"GEMINI_API_KEY": ""}, os.EX_CONFIG, "no API key"),
        ({"ORCHESTRATOR_LIMITS__TIER": "9"}, os.EX_CONFIG, "limits.tier"),
        ({"ORCHESTRATOR_SERVICE__INBOX": "/proc/inbox"}, None, "/proc/inbox"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(environ, more, code, words):
    """A wrong setting, a missing key, a folder that cannot be: one line, no traceback."""
    done = subprocess.run(
        [*PROGRAM, "run"], env=environ | more, capture_output=True, text=True, check=False
    )

    assert done.returncode == code or (code is None and done.returncode in {75, 77})
    assert words in done.stderr
    assert "Traceback" not in done.stderr


# ---- the demo -----------------------------------------------------------------------------------


def children_of(folder):
    """Return the processes that work in a folder, by their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(folder) in line and int(entry.name) != os.getpid():
                found.append((int(entry.name), line))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("wrote", signal.SIGINT),
        ("emulator ", signal.SIGINT),
        ("daemon ", signal.SIGTERM),
        ("dropped", signal.SIGINT),
    ],
)
def test_the_demo_can_be_interrupted_at_any_time(home, moment, number):
    """Ctrl-C ends it with 130, leaves nothing running, and says how to clean up."""
    folder = home / "demo"
    with subprocess.Popen(
        [*PROGRAM, "demo", "--dir", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        for line in demo.stdout:
            if moment in line:
                break

        demo.send_signal(number)
        code = demo.wait(30)

        # Python ends itself by SIGINT where the interrupt fell into the making of a class: a shell
        # says 130 to both.
        assert code in {130, -signal.SIGINT}
        assert f"rm -r {folder}" in demo.stderr.read()
    until(lambda: not children_of(folder))


def test_an_interrupt_that_a_finaliser_swallowed_is_heard(monkeypatch):
    """An exception raised in a finaliser goes nowhere; the demo ends at its next look."""
    swallowed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)

    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    with interruptible() as interrupted:
        interrupted()
        Finalised()

        with pytest.raises(KeyboardInterrupt):
            interrupted()
    assert len(swallowed) == 1


@pytest.mark.slow
def test_a_killed_demo_takes_its_processes_along(home):
    """Even SIGKILL leaves nothing running."""
    folder = home / "demo"
    with subprocess.Popen(
        [*PROGRAM, "demo", "--dir", folder], stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("dropped"):
                break
        demo.kill()

    until(lambda: not children_of(folder))


@pytest.mark.slow
def test_a_child_that_fails_is_shown_with_the_end_of_its_log(home):
    """When the daemon dies the demo ends with 70 and the last lines of the daemon's log."""
    folder = home / "demo"
    with subprocess.Popen(
        [*PROGRAM, "demo", "--dir", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        for line in demo.stdout:
            if line.startswith("dropped"):
                break
        (daemon, *_) = [pid for pid, line in children_of(folder) if b"\0run\0" in line]
        os.kill(daemon, signal.SIGKILL)
        code, said = demo.wait(30), demo.stderr.read()

    assert code == os.EX_SOFTWARE
    assert "the last lines of" in said
    assert "daemon.ready" in said
    assert "the daemon ended with status -9" in said
    until(lambda: not children_of(folder))


def test_the_demo_never_touches_a_folder_that_is_not_its_own(call, home):
    """A folder with something else in it is left alone."""
    (home / "mine").mkdir()
    (home / "mine" / "thesis.txt").write_text("")

    ended = call("demo", "--dir", home / "mine")

    assert ended.code == os.EX_CANTCREAT
    assert [file.name for file in (home / "mine").iterdir()] == ["thesis.txt"]
