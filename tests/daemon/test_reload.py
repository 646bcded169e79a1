"""A reload of the real process: who is connected stays connected, however the settings are."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from orchestrator.status.client import Client, Unreachable
from tests.waiting import until

PATIENCE_SECONDS = 30
SETTINGS = """\
[gemini]
base_url = "http://127.0.0.1:9"
api_key = "any-key-will-do"
[service]
state_dir = "{state}"
[limits]
max_active_jobs = {jobs}
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Run a daemon; return its process, its client, its settings file and its log."""
    home = tmp_path_factory.mktemp("house")
    state, file, log = home / "s", home / "config.toml", home / "log"
    file.write_text(SETTINGS.format(state=state, jobs=100))
    file.chmod(0o600)
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(home / "notify"))
    environ["NOTIFY_SOCKET"] = str(home / "notify")
    command = [sys.executable, "-m", "orchestrator", "run", "--json", "--config", str(file)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stderr=out, env=environ)
    client = Client(state / "orchestrator.sock")

    def runs():
        assert process.poll() is None, log.read_text()
        try:
            return client.status()["service"]["state"] != "starting"
        except Unreachable:
            return False

    until(runs)
    yield process, client, file, log, lambda: told(manager)
    with manager:
        told(manager)  # its queue is short
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
        assert told(manager) == ["STOPPING=1"]


def told(manager):
    """Return what the service manager was told since the last look, but for pulse and status."""
    said = []
    manager.setblocking(False)  # noqa: FBT003 - the socket's own signature
    with suppress(BlockingIOError):
        while True:
            said += manager.recv(4096).decode().splitlines()
    return [line for line in said if line.endswith("=1") and line != "WATCHDOG=1"]


def stream(path):
    """Open the stream of events, as a client that keeps it open for weeks."""
    end = socket.socket(socket.AF_UNIX)
    end.settimeout(PATIENCE_SECONDS)
    end.connect(str(path))
    end.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    assert b"200 OK" in end.recv(4096)
    return end


def is_open(end):
    """Tell whether the other side has not hung up."""
    end.setblocking(False)  # noqa: FBT003 - the socket's own signature
    try:
        while end.recv(4096):
            pass
    except BlockingIOError:
        return True
    return False


def times(log, event):
    """Count the lines of the log with this event."""
    return sum(json.loads(line)["event"] == event for line in log.read_text().splitlines())


def test_a_reload_keeps_the_socket_and_whoever_is_connected(house):
    """New settings are in force, the socket is the same, the stream goes on: no event is missed."""
    process, client, file, log, heard = house
    path = file.parent / "s" / "orchestrator.sock"
    inode, follower, ready = path.stat().st_ino, stream(path), times(log, "daemon.ready")
    heard()

    file.write_text(SETTINGS.format(state=file.parent / "s", jobs=7))
    process.send_signal(signal.SIGHUP)

    until(lambda: client.status()["projects"][0]["active_jobs_max"] == 7)
    until(lambda: times(log, "daemon.ready") == ready + 1)
    assert until(heard) == ["RELOADING=1", "READY=1"]
    assert path.stat().st_ino == inode
    assert client.status()["service"]["pid"] == process.pid
    assert is_open(follower)
    follower.close()


def test_settings_that_cannot_be_used_disturb_nobody(house):
    """A mistake in the file is said in the log; no stage stops, no connection is cut."""
    process, client, file, log, heard = house
    path = file.parent / "s" / "orchestrator.sock"
    inode, follower, ready = path.stat().st_ino, stream(path), times(log, "daemon.ready")
    heard()
    before = client.status()["projects"]

    file.write_text(SETTINGS.format(state=file.parent / "s", jobs='"many"'))
    process.send_signal(signal.SIGHUP)

    until(lambda: times(log, "settings.refused") == 1)
    assert until(heard) == ["RELOADING=1", "READY=1"]
    assert (times(log, "daemon.ready"), path.stat().st_ino) == (ready, inode)
    assert client.status()["projects"] == before
    assert is_open(follower)
    follower.close()


def test_orders_and_drops_work_after_a_reload(house):
    """The shift that begins takes what is dropped, and carries out what is ordered."""
    process, client, file, log, _ = house
    inbox, ready = file.parent / "s/inbox", times(log, "daemon.ready")
    file.write_text(SETTINGS.format(state=file.parent / "s", jobs=100))
    process.send_signal(signal.SIGHUP)
    until(lambda: times(log, "daemon.ready") == ready + 1)
    line = '{"contents": [{"parts": [{"text": "a"}]}]}\n'
    (inbox / "night.toml").write_text('model = "gemini-2.5-flash"\n')
    (inbox / "night.tmp").write_text(line)
    (inbox / "night.tmp").rename(inbox / "night.jsonl")

    found = until(lambda: next(client.sets(name="night"), None))
    told = client.order("pause", found["id"])

    assert told["verb"] == "pause"
    until(lambda: client.find("night")["display"] == "paused")
