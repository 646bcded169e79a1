"""Each command that a document shows is run, or says why not."""

import os
import re
import subprocess
import sys
import sysconfig

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, named
from tests.docs.processes import ORCHESTRATOR, read, wait

CURL = ROOT / "docs" / "status-api.md"  # its commands are run beside the socket's other tests
SHOWN = [
    page
    for page in PAGES
    if any(each.kind in {"sh", "console"} for each in blocks(page)) and page != CURL
]
STAYS = re.compile(r"^orchestrator emulator (.*)$", re.MULTILINE)
SCRIPTS = sysconfig.get_path("scripts")
RECIPE = re.compile(r"^demo:.*\n\t@\$\(BIN\)/python -m orchestrator demo$", re.MULTILINE)


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


def typed(block):
    """Return what somebody types of a block: of a console only what stands behind a prompt."""
    if block.kind == "console":
        return "\n".join(re.findall(r"^\$ (.*)$", block.text, re.MULTILINE))
    return block.text if block.kind == "sh" else ""


def script(page, environ):
    """Return the commands of a page that are run, in order."""
    run = [typed(block) for block in blocks(page) if block.why is None]
    text = "set -eu -o pipefail\n" + "\n".join(run)
    text = text.replace("http://127.0.0.1:8080", environ["EMULATOR"])
    text = text.replace("/tmp/emulator", f"{environ['HOME']}/emulator")
    text = STAYS.sub(r"timeout -s INT 2 orchestrator emulator --port 0 \1 || [ $? = 124 ]", text)
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


def test_what_is_locked_is_installed_everywhere_by_the_same_words():
    """Wherever a document or a recipe installs the lock, nothing but the lock can get in."""
    recipes = [*PAGES, ROOT / "Makefile", ROOT / "Dockerfile"]
    text = "\n".join(read(file).replace("\\\n", " ") for file in recipes)

    installs = re.findall(r"(?:pip\)?|PIP\)) install ([^\n]*-r requirements[\w-]*\.lock)", text)

    assert len(installs) >= 5
    assert [
        line for line in installs if not {"--no-deps", "--require-hashes"} < {*line.split()}
    ] == []
