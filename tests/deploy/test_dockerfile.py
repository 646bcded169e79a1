"""The image's recipe, without building it; what it does when built is in test_image.py (soak)."""

import re
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from orchestrator.cli.program import COMMANDS
from tests.deploy.dockerfile import stages

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def final():
    """Return the stage that becomes the image."""
    return stages(REPOSITORY / "Dockerfile")[-1]


def test_it_runs_as_nobody_in_particular(final):
    """The program runs under a number of its own, never as root."""
    (user,) = final.of("USER")

    assert user == "10001:10001"


def test_running_it_needs_no_shell(final):
    """What is run and what asks for its health are given as lists."""
    assert final.listed("ENTRYPOINT") == ["orchestrator"]
    assert final.listed("CMD")[0] in COMMANDS
    assert final.listed("HEALTHCHECK")[:2] == ["orchestrator", "status"]
    assert final.of("STOPSIGNAL") == ["SIGTERM"]


def test_everything_that_must_live_on_is_a_volume(final):
    """The state directory is the one volume, and the daemon is told of it."""
    (volume,) = final.of("VOLUME")

    assert final.environment()["STATE_DIRECTORY"] == volume


def test_only_what_is_pinned_by_hash_is_fetched():
    """Libraries come by hash; our own wheel brings nothing along."""
    build, _ = stages(REPOSITORY / "Dockerfile")

    installs = [
        step for step in build.of("RUN") for step in step.split("&&") if "pip install " in step
    ]

    fetching = [step for step in installs if "--no-index" not in step]
    assert all("--require-hashes" in step and "requirements.lock" in step for step in fetching)
    assert all("--no-deps" in step for step in installs if "--no-index" in step)


def test_nothing_secret_can_get_into_the_image():
    """Only the wheel and the lock reach the builder, and no key is an argument of it."""
    text = (REPOSITORY / "Dockerfile").read_text()

    assert (REPOSITORY / ".dockerignore").read_text().split() == [
        "*",
        "!dist/*.whl",
        "!requirements.lock",
    ]
    assert not re.search(r"^(ARG|ENV).*KEY", text, re.MULTILINE)


def test_the_example_of_compose_keeps_the_root_read_only():
    """Both services run without capabilities on a read-only root, over named volumes."""
    compose = yaml.safe_load((REPOSITORY / "deploy" / "compose.yaml").read_text())

    for service in compose["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["volumes"][0].endswith(":/var/lib/orchestrator")
    assert (REPOSITORY / "deploy" / compose["secrets"]["gemini_api_key"]["file"]).exists()
