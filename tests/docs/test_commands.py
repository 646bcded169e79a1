"""Each command that a document shows is run, here or by the test that its mark names."""

import os
import re
import subprocess
import sys
import sysconfig
from contextlib import contextmanager, nullcontext

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, named
from tests.docs.processes import ORCHESTRATOR, read, wait

HERE = [page for page in PAGES if any(block.typed and block.by is None for block in blocks(page))]
EMULATOR = re.compile(r"^orchestrator emulator (.*)$", re.MULTILINE)
DAEMON = re.compile(r"^orchestrator run\b.*$", re.MULTILINE)
ENDED = "\nkill -INT $daemon; wait $daemon\n"
SCRIPTS = sysconfig.get_path("scripts")
RECIPE = re.compile(r"^demo:.*\n\t@\$\(BIN\)/python -m orchestrator demo$", re.MULTILINE)
RUNS = re.compile(r'\bcommands_of\(\s*"([^"]+)", "([^"]+)"')


@pytest.fixture
def environ(tmp_path, emulator):
    """Return the environment of a shell whose settings name the emulator."""
    return {
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


@contextmanager
def daemon(folder, environ):
    """Run a daemon beside the commands."""
    command, log = [*ORCHESTRATOR, "run"], folder / "daemon.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(command, stderr=out, cwd=folder, env=environ) as process,
    ):
        wait(process, lambda: "daemon.ready" in read(log))
        yield
        process.terminate()


def script(page, environ):
    """Return the commands of a page that are run here, in order.

    They are as the page has them but for the key, the emulator's address, and what stays in the
    foreground, as in a terminal of its own: the emulator for a while, the daemon to the end.
    """
    text = "\n".join(block.typed for block in blocks(page) if block.by is None)
    text = text.replace("GEMINI_API_KEY=…", f"GEMINI_API_KEY={environ['GEMINI_API_KEY']}")
    text = text.replace("http://127.0.0.1:8080", environ["EMULATOR"])
    text = text.replace("/tmp/emulator", f"{environ['HOME']}/emulator")
    text = EMULATOR.sub(r"timeout -s INT 2 orchestrator emulator --port 0 \1 || [ $? = 124 ]", text)
    text = re.sub(
        r"^make demo$", f"{sys.executable} -m orchestrator demo", text, flags=re.MULTILINE
    )
    return (
        "set -eu -o pipefail\n"
        + DAEMON.sub(_in_a_terminal_of_its_own, text)
        + (ENDED if DAEMON.search(text) else "")
    )


def _in_a_terminal_of_its_own(command):
    start, _, _ = command[0].partition("#")
    return (
        f"{start.strip()} 2>daemon.log & daemon=$!\ntrap 'kill -9 $daemon 2>&- || :' EXIT\n"
        "until grep -qs daemon.ready daemon.log; do kill -0 $daemon; sleep 0.1; done"
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", HERE, ids=named)
def test_the_commands_of_a_page_work(page, environ, tmp_path):
    """The commands that a page shows, one after the other, all succeed.

    A page that starts the daemon itself is served by that one, which Ctrl-C ends well.
    """
    text = script(page, environ)

    with nullcontext() if text.endswith(ENDED) else daemon(tmp_path, environ):
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr + read(tmp_path / "daemon.log")


def test_make_demo_is_the_demo():
    """`make demo` runs the command that is run here in its place."""
    assert RECIPE.search(read(ROOT / "Makefile"))


def test_what_is_not_run_here_is_run_by_the_test_that_the_page_names():
    """Each mark names a test that runs what stands under its heading, and no test runs less."""
    marked = {
        (block.by, named(page), block.heading)
        for page in PAGES
        for block in blocks(page)
        if block.by is not None
    }
    run = {
        (str(file.relative_to(ROOT)), *names)
        for file in ROOT.glob("tests/**/test_*.py")
        for names in RUNS.findall(read(file))
    }

    assert marked == run


def test_what_is_locked_is_installed_everywhere_by_the_same_words():
    """Wherever a document or a recipe installs the lock, nothing but the lock can get in."""
    recipes = [*PAGES, ROOT / "Makefile", ROOT / "Dockerfile"]
    text = "\n".join(read(file).replace("\\\n", " ") for file in recipes)

    installs = re.findall(r"(?:pip\)?|PIP\)) install ([^\n]*-r requirements[\w-]*\.lock)", text)

    assert len(installs) >= 5
    assert [
        line for line in installs if not {"--no-deps", "--require-hashes"} < {*line.split()}
    ] == []
