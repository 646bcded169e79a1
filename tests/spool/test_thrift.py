"""Little work stays in the daemon's threads; much of it goes to processes, which end again."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.spool import thrift
from orchestrator.spool.thrift import Thrifty

TOIL_SECONDS = 0.3  # of an allowance of 0.05: it takes five seconds to come back


class Elsewhere(ThreadPoolExecutor):
    """Stands for the processes: its thread has a name of its own."""

    def __init__(self):
        super().__init__(1, thread_name_prefix="elsewhere")
        self.ended = False

    def shutdown(self, wait=True, *, cancel_futures=False):  # noqa: FBT002 - the base class's
        self.ended = True
        super().shutdown(wait, cancel_futures=cancel_futures)


def where():
    """Tell in which thread the call is done."""
    return threading.current_thread().name


def toil(seconds):
    """Use so many CPU seconds."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.fixture
def made():
    """Return the executors that were made for much work."""
    return []


@pytest.fixture
def workers(made):
    """Return an executor with an allowance of a twentieth of a second."""

    def make():
        made.append(Elsewhere())
        return made[-1]

    workers = Thrifty(make, 0.05)
    yield workers
    workers.shutdown()


def test_a_little_work_needs_no_process(workers, made):
    """As long as the allowance lasts, calls are done in threads, and nothing else is started."""
    assert workers.submit(where).result(9).startswith("work")
    assert workers.submit(os.getpid).result(9) == os.getpid()
    assert made == []


def test_errors_come_back(workers):
    """A call that raises in a thread gives its error to the caller."""
    assert isinstance(workers.submit(divmod, 7, 0).exception(9), ZeroDivisionError)


def test_much_work_goes_to_processes(workers, made):
    """When the allowance is used up, calls go to the processes, made once."""
    workers.submit(toil, TOIL_SECONDS).result(30)

    assert workers.submit(where).result(9).startswith("elsewhere")
    assert workers.submit(where).result(9).startswith("elsewhere")
    assert len(made) == 1


def test_processes_that_nobody_needs_are_ended(workers, made, monkeypatch):
    """Processes are ended when nothing was asked of them for a while, and made again later."""
    workers.submit(toil, TOIL_SECONDS).result(30)
    workers.submit(where).result(9)
    workers.rest()
    assert not made[0].ended

    monkeypatch.setattr(thrift, "REST_AFTER_SECONDS", 0.0)
    workers.rest()
    assert made[0].ended

    workers.submit(toil, TOIL_SECONDS).result(30)
    assert workers.submit(where).result(9).startswith("elsewhere")
    assert len(made) == 2


def test_an_executor_that_was_shut_down_takes_no_calls(workers):
    """After shutdown a call is refused."""
    workers.shutdown()

    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(where)
