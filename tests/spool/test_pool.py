import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.spool.pool import Inline, Workers, WorkersLost

SLOW_TO_IMPORT = """
import pathlib, time
here = pathlib.Path(__file__).parent
for _ in range(600):
    if (here / "go").exists():
        break
    time.sleep(0.05)
else:
    (here / "gave-up").touch()
"""
ASKS = """
import os, pathlib, sys
from orchestrator.spool.pool import Workers
if __name__ == "__main__":
    workers = Workers(1, preload=("slow_to_import",))
    asked = workers.submit(os.getpid)
    pathlib.Path(sys.argv[1], "go").touch()
    assert asked.result(120) != os.getpid()
    workers.shutdown()
"""


def die_until(path, times):
    """Kill this worker unless that happened `times` times already."""
    tries = path.read_text() if path.exists() else ""
    path.write_text(tries + "x")
    if len(tries) < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def test_inline_calls_are_done_at_once():
    """An inline executor returns finished futures, with values and errors."""
    assert Inline().submit(divmod, 7, 2).result(0) == (3, 1)
    assert isinstance(Inline().submit(divmod, 7, 0).exception(0), ZeroDivisionError)


@pytest.mark.slow
def test_killed_workers_are_replaced_and_their_call_is_repeated(tmp_path):
    """A call survives two deaths of its worker; at the third the caller is told what to do."""
    workers = Workers(2, preload=())
    try:
        assert workers.submit(die_until, tmp_path / "a", 2).result(60) != os.getpid()
        with pytest.raises(WorkersLost, match=r"intake\.workers"):
            workers.submit(die_until, tmp_path / "b", 99).result(60)
        assert workers.submit(os.getpid).result(60) != os.getpid()
    finally:
        workers.shutdown()


def test_a_shut_down_pool_takes_no_calls():
    """After shutdown a call is refused."""
    workers = Workers(1, preload=())
    workers.shutdown()

    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(os.getpid)


@pytest.mark.slow
def test_a_caller_is_not_held_while_processes_start(tmp_path):
    """A call is taken at once, though the processes import for as long as they like."""
    (tmp_path / "slow_to_import.py").write_text(SLOW_TO_IMPORT)
    (tmp_path / "asks.py").write_text(ASKS)
    root = str(Path(__file__).parents[2])
    paths = os.pathsep.join([str(tmp_path), root])
    command = [sys.executable, str(tmp_path / "asks.py"), str(tmp_path)]

    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": paths})

    assert not (tmp_path / "gave-up").exists()
