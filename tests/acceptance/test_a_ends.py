"""A11-A14: signals, storms of kills and killed workers, with real processes.

Kills at every system call and power cuts at every effect are swept elsewhere; here is what an
operator does to a running daemon.
"""

import os
import signal
import time
from pathlib import Path

import pytest

from orchestrator.status.client import Unreachable
from tests.acceptance.house import judge
from tests.judging.drops import Drop
from tests.judging.results import torn

pytestmark = pytest.mark.slow
MANY = Drop("many", 24, options={"max_requests_per_batch": 3})


def test_a11_a12_signals_end_it_and_a_reload_does_not(own):
    """SIGHUP reads the settings again; SIGTERM and SIGINT end it, and all is resumed."""
    MANY.put(own.inbox)
    own.until(lambda: own.events("set.received"), "the set")
    assert own.process is not None
    own.process.send_signal(signal.SIGHUP)
    own.until(lambda: own.events("settings.read"), "the settings")
    pid = own.until(lambda: _pid(own), "the daemon to answer again")

    assert pid == own.process.pid
    assert own.stop(signal.SIGTERM) == 0
    own.start()
    assert own.stop(signal.SIGINT) == 0
    own.start()
    assert judge(own, MANY) == []


def test_a13_a_storm_of_kills_ends_whole_and_paid_once(own):
    """Killed again and again at any moment: what a reader sees is whole, and all is paid once."""
    MANY.put(own.inbox)
    for life in range(8):
        time.sleep(0.1 + 0.37 * life % 1.3)  # another moment of its work each time
        own.kill()
        assert torn(own.outbox) == []
        own.start()

    assert judge(own, MANY) == []


def test_a14_a_killed_worker_is_replaced(own):
    """A worker that is killed, as for its memory, is replaced; the set comes out whole."""
    MANY.put(own.inbox)
    own.until(lambda: own.events("set.received"), "the set")
    assert own.process is not None
    for child in _children(own.process.pid):
        os.kill(child, signal.SIGKILL)
    after = Drop("after-the-kill", 2)
    after.put(own.inbox)

    assert judge(own, MANY, after) == []
    assert own.process.poll() is None


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def _pid(own) -> int | None:
    try:
        return int(own.status()["service"]["pid"])
    except Unreachable:
        return None
