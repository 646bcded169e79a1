"""What the page of the status socket shows can be typed as it is.

Only the socket's path, the set's id and the port are those of the test; `sudo` is a program that
runs what it is given, since whoever runs the tests is the daemon's own user.
"""

import asyncio
import json
import os
import shutil
import socket
from asyncio.subprocess import PIPE, create_subprocess_exec
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.docs.pages import commands_of
from tests.waiting import until

SOCKET = "/run/orchestrator/orchestrator.sock"
SUDO = '#!/bin/sh\nexec "$@"\n'
NOBODY = 65534


@pytest.fixture
async def typed(world, make, short):
    """Return a function that starts, beside a daemon with a set, what somebody types."""
    await world.run(make.info(1), make.part(make.info(1)))
    await world.room.feed.load()
    world.orders.refused = ""
    sudo = short / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text(SUDO)
    sudo.chmod(0o755)

    async def start(command, **given):
        line = command.replace(SOCKET, str(world.path)).replace("jieapgski2", make.info(1).id)
        environ = {"PATH": f"{sudo.parent}:{os.environ['PATH']}"}
        shell = ["bash", "-euo", "pipefail", "-c", line]
        return await create_subprocess_exec(*shell, stdout=PIPE, env=environ, **given)

    async with world.serving():
        yield start


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_the_status_is_read_and_an_order_given_by_curl(typed, world):
    """The one command shows the service, the other pauses a set."""
    (read,) = commands_of("docs/status-api.md", "The status socket")
    (order,) = commands_of("docs/status-api.md", "Orders")

    told, done = [(await (await typed(each)).communicate())[0] for each in (read, order)]

    assert json.loads(told)["service"]["name"] == "orchestrator"
    assert json.loads(done)["verb"] == "pause"
    assert [verb for verb, *_ in world.orders.given] == ["pause"]


@pytest.mark.skipif(
    shutil.which("socat") is None, reason="the bridge was NOT tried: apt-get install socat"
)
async def test_metrics_are_read_over_a_bridge_and_no_orders_come_through(typed, world, make):
    """Of a bridge run as a user who may only read, whoever reaches the port may only read."""
    (command,) = commands_of("docs/status-api.md", "Metrics")
    port = free_port()
    given = {"user": NOBODY, "group": NOBODY} if os.geteuid() == 0 else {}
    if given:
        os.chown(world.path, -1, NOBODY)

    async with (
        ended(await typed(f"exec {command.replace('9464', str(port))}", **given)),
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        await asyncio.to_thread(until, lambda: accepts(port), what="socat")
        async with session.get("/metrics") as answer:
            metrics = await answer.text()
        async with session.post(f"/v1/sets/{make.info(1).id}:cancel") as answer:
            refused = answer.status

    assert "\norchestrator_ready 1.0\n" in metrics
    assert refused == 403 or not given  # who is not root can become nobody else
    assert world.orders.given == [] or not given


@asynccontextmanager
async def ended(process):
    """Hold a process that stays in the foreground, and end it."""
    yield process
    process.terminate()
    await process.wait()


def free_port():
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def accepts(port):
    """Tell whether somebody listens on a port of loopback."""
    with socket.socket() as end:
        return end.connect_ex(("127.0.0.1", port)) == 0
