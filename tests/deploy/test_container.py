"""The container, built and run as the guide types it, beside the emulator.

`docker` is podman here, which has the same commands. It is given what stands for the network: a
small Debian made here for the base, a folder of wheels for the registry, the emulator for the
service. Needs root, podman and mmdebstrap.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.deploy import machine as machines
from tests.docs.conftest import emulator  # noqa: F401 - a fixture
from tests.docs.pages import commands_of

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]
TOOLS = ("podman", "mmdebstrap", "unshare", "make")
DOCKER = """\
#!/bin/sh
verb=$1; shift
case $verb in
  build) set -- --build-arg BASE=localhost/base --volume {scratch}/wheels:/opt/wheels:ro \
    --volume {scratch}/pip.conf:/etc/pip.conf:ro --isolation chroot --format docker \
    --layers=false "$@" ;;
  run) set -- --network host --env ORCHESTRATOR_GEMINI__BASE_URL={emulator} \
    --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@" ;;
esac
exec podman --root {scratch}/store --runroot {scratch}/run --storage-driver overlay "$verb" "$@"
"""
# The hierarchy of a booted Debian, for this process and its children, where the machine's is older.
CGROUPS = "[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t cgroup2 none /sys/fs/cgroup\n"
READY = "until docker logs orchestrator 2>&1 | grep -q daemon.ready; do sleep 0.5; done\n"
AFTER = """
until docker exec orchestrator test -e /var/lib/orchestrator/outbox/prompts/summary.json
do sleep 0.5; done
docker cp orchestrator:/var/lib/orchestrator/outbox/prompts .
docker healthcheck run orchestrator
docker exec orchestrator id -u >user
docker stop orchestrator
docker inspect --format '{{.State.ExitCode}}' orchestrator >ended
"""
PROMPTS = 20


def missing():
    """Say why no container can be run here; None if it can."""
    if os.geteuid() != 0:
        return "it needs root"
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"apt-get install podman mmdebstrap ({', '.join(absent)} not found)" if absent else None


@pytest.fixture
def short():
    """A folder whose path is as short as podman wants it."""
    folder = Path(tempfile.mkdtemp(prefix="o", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shell(short, emulator):  # noqa: F811
    """Return a function that runs commands in the unpacked sources, with a `docker`."""
    if why := missing():
        pytest.skip(f"the container was NOT tried: {why}")
    checkout, base = short / "sources", short / "base"
    machines.sources(checkout)
    set_up(checkout)
    machines.wheels(short / "wheels")
    machines.debian(base)
    (short / "pip.conf").write_text(machines.PIP)
    docker = short / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER.format(scratch=short, emulator=emulator))
    docker.chmod(0o755)
    environ = {
        "PATH": f"{docker.parent}:{os.environ['PATH']}",
        "HOME": str(short),
        "GEMINI_API_KEY": "any-key-will-do",
    }

    def run(commands):
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-euo", "pipefail", "-c", CGROUPS + commands],
            cwd=checkout,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(f"tar -C {base} -c . | docker import - localhost/base")
    yield run
    run("docker rm --force --volumes --time 2 orchestrator")


def set_up(checkout):
    """Let `make` find its environment set up: it is the one that this test runs in."""
    place = checkout / ".venv"
    place.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (place / name).symlink_to(Path(sys.prefix) / name)
    for stamp in (".dev", ".runtime"):
        (place / stamp).touch()


def test_the_guide_builds_and_runs_a_container(shell, short):
    """What the guide types builds the image, runs it, gives it a file and asks for its status.

    The file is answered, the container is well, runs as nobody in particular, and stops well.
    """
    start, use = commands_of("docs/operate.md", "Container")
    line = '{"contents": [{"parts": [{"text": "Say yes."}]}]}\n'
    checkout = short / "sources"
    (checkout / "prompts.jsonl").write_text(line * PROMPTS)

    said = shell(start + READY + use + AFTER)

    assert re.search(r"^orchestrator \d\S+ running", said, re.MULTILINE)
    answers = (checkout / "prompts" / "results.jsonl").read_text().splitlines()
    assert [json.loads(each)["key"] for each in answers] == [str(n + 1) for n in range(PROMPTS)]
    assert all("response" in json.loads(each) for each in answers)
    assert ((checkout / "user").read_text(), (checkout / "ended").read_text()) == ("10001\n", "0\n")
