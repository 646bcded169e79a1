"""The check of the image fails when a step does, and says which; `make image-check` runs it."""

import os

import pytest

from tests.deploy import image_check
from tests.deploy.image_steps import Failed, carry_out

GOOD = """\
ARG BASE=nothing
FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock .
RUN mkdir /opt && cp requirements.lock /opt/made
FROM ${BASE}
COPY --from=build /opt /opt
RUN install -d -o 10001 -g 10001 /var/lib/orchestrator && test -e /opt/made && test ! -e /src
VOLUME /var/lib/orchestrator
"""


@pytest.fixture
def carry(tmp_path):
    """Return a function that carries out a recipe's steps over an empty lock."""
    context, scratch = tmp_path / "context", tmp_path / "scratch"
    context.mkdir()
    scratch.mkdir()

    def run(recipe, lock=""):
        (context / "Dockerfile").write_text(recipe)
        (context / "requirements.lock").write_text(lock)
        return carry_out(context, scratch, tmp_path)

    return run


def test_each_step_is_carried_out_below_a_folder(carry):
    """Stages have files of their own, and only what is copied goes from one to the next."""
    outcome = carry(GOOD)

    assert outcome.steps == 6
    assert outcome.at("/opt/made").exists()
    assert not outcome.at("/src").exists()
    assert outcome.at("/var/lib/orchestrator").stat().st_uid in {10001, os.geteuid()}


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("test -e /opt/made", "test -e /opt/missing", "RUN install"),
        ("COPY requirements.lock", "COPY dist/*.whl", "there is no dist"),
        ("VOLUME /var/lib/orchestrator", "VOLUME /data", "no step makes it"),
        ("VOLUME /var/lib/orchestrator", "SHELL bash", "does not know the instruction"),
    ],
)
def test_a_step_that_fails_is_named(carry, was, becomes, said):
    """What a builder would stumble over ends the check with that step."""
    with pytest.raises(Failed, match=said.replace("/", ".")):
        carry(GOOD.replace(was, becomes))


@pytest.mark.parametrize(
    ("pinned", "said"),
    [
        ("no-such-library==1.0 \\\n    --hash=sha256:0\n", "is not installed here"),
        ("click==0.1 \\\n    --hash=sha256:0\n", "is installed here"),
    ],
)
def test_libraries_other_than_the_locked_ones_are_found(carry, pinned, said):
    """The check stands for the lock only if what is here is what the lock names."""
    with pytest.raises(Failed, match=said):
        carry(GOOD, pinned)


def test_a_client_without_its_daemon_is_no_builder(tmp_path, monkeypatch):
    """A docker that answers nothing is passed over, one that answers is taken."""
    docker = tmp_path / "docker"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = []
    for code in (1, 0):
        docker.write_text(f"#!/bin/sh\nexit {code}\n")
        docker.chmod(0o755)
        found.append(image_check.builder())

    assert found[1] == "docker"
    assert found[0] != "docker"
