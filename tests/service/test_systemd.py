"""Talking to systemd, over real datagram sockets."""

import os
import socket
import time
from datetime import timedelta

import pytest

from orchestrator.service.systemd import Notifier, watchdog_pace


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    """Return a manager's socket and the value of NOTIFY_SOCKET that leads to it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.settimeout(5)
        if request.param == "path":
            given = str(tmp_path / "notify")
            end.bind(given)
        else:
            name = f"orchestrator-test-{os.getpid()}"
            end.bind("\0" + name)
            given = "@" + name
        yield end, given


def test_every_message_reaches_the_manager(manager):
    """READY, STATUS, WATCHDOG, RELOADING, STOPPING and EXTEND arrive as systemd wants them."""
    end, given = manager
    notifier = Notifier.from_environ({"NOTIFY_SOCKET": given})
    before = time.monotonic_ns() // 1000

    sent = [
        notifier.ready("3 sets"),
        notifier.status("all well"),
        notifier.watchdog(),
        notifier.reloading(),
        notifier.stopping("bye"),
        notifier.extend(timedelta(seconds=2)),
    ]
    got = [end.recv(4096).decode() for _ in sent]

    assert all(sent)
    assert got[0] == "READY=1\nSTATUS=3 sets"
    assert got[1:3] == ["STATUS=all well", "WATCHDOG=1"]
    assert got[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert int(got[3].rpartition("=")[2]) >= before
    assert got[4:] == ["STOPPING=1\nSTATUS=bye", "EXTEND_TIMEOUT_USEC=2000000"]


def test_a_status_cannot_smuggle_in_another_message(manager):
    """A newline in a status, as from a file's name, stays inside the status."""
    end, given = manager

    Notifier.from_environ({"NOTIFY_SOCKET": given}).status("x\nREADY=1")

    assert end.recv(4096) == b"STATUS=x\\x0aREADY=1"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_without_a_manager_nothing_happens(environ):
    """Outside systemd every message is a success and goes nowhere."""
    assert Notifier.from_environ(environ).ready("x")


def test_a_manager_that_went_away_is_no_reason_to_stop(tmp_path):
    """A message that cannot be sent is told by False, not by an exception."""
    assert not Notifier(str(tmp_path / "gone")).watchdog()


def test_a_full_socket_never_blocks(tmp_path):
    """A manager that does not read cannot hold us up."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(path)
        sent = [Notifier(path).watchdog() for _ in range(2000)]

    assert sent[0]
    assert not sent[-1]


@pytest.mark.parametrize(
    ("environ", "pace"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, timedelta(seconds=10)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, timedelta(seconds=10)),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_three_times_in_its_patience(environ, pace):
    """The pace is a third of WATCHDOG_USEC, if the watchdog is meant for this process."""
    assert watchdog_pace(environ, 7) == pace
