"""Each command that a document shows is run, or says why not."""

import os
import re
import subprocess
import sys
import sysconfig
import time

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, named

PATIENCE_SECONDS = 60
SHOWN = [page for page in PAGES if any(each.kind == "sh" for each in blocks(page))]
SCRIPTS = sysconfig.get_path("scripts")
ORCHESTRATOR = [sys.executable, "-m", "orchestrator"]
RECIPE = re.compile(r"^demo:.*\n\t@\$\(BIN\)/python -m orchestrator demo$", re.MULTILINE)


@pytest.fixture
def emulator(tmp_path):
    """Return the address of an emulator."""
    command = [*ORCHESTRATOR, "emulator", "--port", "0", "--speed", "60", "--quiet"]
    log = tmp_path / "emulator.log"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, cwd=tmp_path) as process:
        yield wait(process, lambda: re.search(r"http://[\d.:]+", read(log)))[0]
        process.terminate()


@pytest.fixture
def world(tmp_path, emulator):
    """Return the environment of a shell beside a running daemon."""
    environ = {
        "PATH": f"{SCRIPTS}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "GEMINI_API_KEY": "any-key-will-do",
        "EMULATOR": emulator,
        "ORCHESTRATOR_GEMINI__BASE_URL": emulator,
        "ORCHESTRATOR_SERVICE__STATE_DIR": str(tmp_path / "s"),
        "ORCHESTRATOR_PROFILES__DEFAULT__MODEL": "gemini-2.5-flash",
        "ORCHESTRATOR_POLLING__INTERVAL_MIN_SECONDS": "0.2",
        "ORCHESTRATOR_POLLING__INTERVAL_MAX_SECONDS": "0.5",
        "ORCHESTRATOR_INTAKE__SETTLE_SECONDS": "0.1",
    }
    command, log = [*ORCHESTRATOR, "run"], tmp_path / "daemon.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stderr=out, cwd=tmp_path, env=environ) as process,
    ):
        wait(process, lambda: "daemon.ready" in read(log))
        yield environ
        process.terminate()


def wait(process, true):
    """Wait until something is true, for as long as the process lives."""
    for _ in range(PATIENCE_SECONDS * 20):
        if found := true():
            return found
        assert process.poll() is None, process.args
        time.sleep(0.05)  # a process of its own gives no other sign
    raise AssertionError(process.args)


def read(file):
    return file.read_text("utf-8")


def script(page, environ):
    """Return the commands of a page that are run, in order."""
    run = [block.text for block in blocks(page) if block.kind == "sh" and block.why is None]
    text = "set -eu -o pipefail\n" + "\n".join(run)
    text = text.replace("http://127.0.0.1:8080", environ["EMULATOR"])
    return re.sub(
        r"^make demo$", f"{sys.executable} -m orchestrator demo", text, flags=re.MULTILINE
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=named)
def test_the_commands_of_a_page_work(page, world, tmp_path):
    """The commands that a page shows, one after the other, all succeed."""
    done = subprocess.run(
        ["bash", "-c", script(page, world)],
        cwd=tmp_path,
        env=world,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr + read(tmp_path / "daemon.log")


def test_make_demo_is_the_demo():
    """`make demo` runs the command that is run here in its place."""
    assert RECIPE.search(read(ROOT / "Makefile"))


@pytest.mark.parametrize("page", SHOWN, ids=named)
def test_what_is_not_run_needs_what_a_test_has_not(page):
    """Commands that are not run need a key, root, a container engine or a registry."""
    reasons = [block.why for block in blocks(page) if block.why is not None]

    needs = re.compile(r"\b(real key|root|systemd|container engine|registry)\b")
    assert [why for why in reasons if not needs.search(why)] == []
