import os
import signal

import pytest

from orchestrator.spool.pool import Inline, Workers, WorkersLost


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
