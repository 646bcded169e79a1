"""The image, built for real by buildah from this repository's Dockerfile, and run read-only.

The base is a small Debian made here, since nothing is pulled; libraries come from a folder of
wheels that holds what the lock names, by hash. Needs root, buildah, mmdebstrap and systemd-nspawn.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import machine as machines
from tests.deploy.dockerfile import stages

REPOSITORY = machines.REPOSITORY
BASE = "localhost/debian-base:bookworm"
IMAGE = "localhost/orchestrator"
PIP = "[global]\nno-index = true\nfind-links = /wheels\n"
pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]


def do(*command, cwd=None):
    """Run a command to its end; its failure shows what it said."""
    ended = subprocess.run(
        [str(each) for each in command], cwd=cwd, check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, f"{command}:\n{ended.stdout}{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Build the image; return (buildah, the folder that its container's files are in)."""
    why = machines.missing() or ("" if shutil.which("buildah") else "apt-get install buildah")
    if why:
        pytest.skip(f"the image was NOT built, only its recipe was checked: {why}")
    scratch = tmp_path_factory.mktemp("image")
    context, wheels, base = (scratch / name for name in ("context", "wheels", "base"))
    machines.debian(base)
    context.mkdir()
    for name in ("Dockerfile", ".dockerignore", "requirements.lock"):
        shutil.copy(REPOSITORY / name, context)
    do(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", context / "dist",
       REPOSITORY)  # fmt: skip
    machines.wheels(wheels)
    (scratch / "pip.conf").write_text(PIP)

    def buildah(*command):
        store = ("--root", scratch / "store", "--runroot", scratch / "run")
        return do("buildah", *store, "--storage-driver", "vfs", *command)

    container = buildah("from", "scratch").strip()
    buildah("add", "-q", container, base, "/")
    buildah("commit", "-q", container, BASE)
    buildah("rm", container)
    given = ("--volume", f"{wheels}:/wheels:ro", "--volume", f"{scratch}/pip.conf:/etc/pip.conf:ro")
    chroot = ("--isolation", "chroot", "--format", "docker")
    buildah("bud", "-q", *chroot, *given, "--build-arg", f"BASE={BASE}", "-t", IMAGE, context)
    container = buildah("from", IMAGE).strip()
    root = Path(buildah("mount", container).strip())
    yield buildah, root
    buildah("umount", container)
    shutil.rmtree(scratch, ignore_errors=True)


def run(root, *command, state=None):
    """Run a program of the image: no capability, no network, nothing writable but the volume."""
    final = stages(REPOSITORY / "Dockerfile")[-1]
    environ = [f"--setenv={name}={value}" for name, value in final.environment().items()]
    walls = ["--private-network", "--read-only", "--drop-capability=all", "--no-new-privileges=yes"]
    places = ["--tmpfs=/tmp:mode=1777", "--tmpfs=/run/orchestrator:mode=0777"]
    if state:
        places.append(f"--bind={state}:/var/lib/orchestrator")
    user = ["--user=orchestrator-image", "--register=no", "--keep-unit", "--quiet", "--pipe"]
    return do("systemd-nspawn", "-D", root, *walls, *places, *environ, *user, "--as-pid2",
              "/opt/orchestrator/bin/orchestrator", *command)  # fmt: skip


@pytest.fixture(scope="module")
def root(image):
    """Give the number that the image runs as a name, which nspawn asks for and images do not."""
    _, root = image
    with (root / "etc/passwd").open("a") as users:
        users.write("orchestrator-image:x:10001:10001::/var/lib/orchestrator:/bin/false\n")
    with (root / "etc/group").open("a") as groups:
        groups.write("orchestrator-image:x:10001:\n")
    return root


def test_the_image_says_what_its_recipe_says(image):
    """User, entry point, volume, signal and health check are in the image."""
    buildah, _ = image

    said = buildah("inspect", "--type", "image", IMAGE)

    for wanted in ('"10001:10001"', '"/var/lib/orchestrator"', '"SIGTERM"', '"status"', '"run"'):
        assert wanted in said


def test_no_installer_and_no_source_is_left(root):
    """The final image has the program and its libraries, not what built it."""
    found = {each.name for each in (root / "opt/orchestrator/bin").iterdir()}

    assert "orchestrator" in found
    assert not any(name.startswith("pip") for name in found)
    assert not (root / "src").exists()


def test_the_whole_job_is_done_on_a_read_only_root(root, tmp_path):
    """As uid 10001, without capabilities or network, the demo answers every request."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 10001, 10001)

    said = run(root, "demo", "--dir", "/var/lib/orchestrator/demo", state=state)

    assert " 0 failed" in said
