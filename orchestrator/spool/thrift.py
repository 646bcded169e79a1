"""Small work is done in the daemon's own threads; worker processes come when there is much of it.

A set of a hundred thousand short requests is a second of work, and two processes that wait for it
all day would double what the daemon holds in memory. So calls are done in a thread as long as an
allowance of CPU seconds lasts, which grows again slowly. Beyond it they go to the processes, which
`rest` ends when nothing was asked of them for a while.

A thread holds the interpreter for a moment at a time: the switch interval bounds how long, so
that the event loop is not made to wait for it.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

ALLOWANCE_SECONDS = 4.0
GROWS_BY = 0.05  # CPU seconds of allowance for each second that passes
REST_AFTER_SECONDS = 60.0
SWITCH_SECONDS = 0.0005
THREADS = 2


class Thrifty(Executor):
    """Threads for a little work, processes for more. Calls must be repeatable.

    `processes` makes the executor of the processes; it is called when they are needed.
    """

    def __init__(
        self, processes: Callable[[], Executor], allowance_seconds: float = ALLOWANCE_SECONDS
    ) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._make = processes
        self._most = self._left = allowance_seconds
        self._at = self._asked_at = time.monotonic()
        self._began: dict[int, float] = {}  # when each call that is under way in a thread began
        self._calls = 0
        self._lock = Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="work")
        self._processes: Executor | None = None
        self._under_way = 0  # calls in the processes
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the call in a thread or in a process."""
        with self._lock:
            if self._closed:
                raise RuntimeError("the workers were shut down")
            if self._remaining() > 0:
                return self._threads.submit(self._counted, partial(fn, *args, **kwargs))
            if self._processes is None:
                self._processes = self._make()
            self._under_way += 1
            processes = self._processes
        future = processes.submit(fn, *args, **kwargs)
        future.add_done_callback(self._ended)
        return future

    @property
    def calls(self) -> int:
        """How many calls were begun in threads so far."""
        return self._calls

    def rest(self) -> None:
        """End the processes if nothing was asked of them for a while."""
        with self._lock:
            waited = time.monotonic() - self._asked_at
            if self._under_way or waited < REST_AFTER_SECONDS:
                return
            processes, self._processes = self._processes, None
        if processes is not None:
            processes.shutdown(wait=False)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        """Let all of it end."""
        with self._lock:
            self._closed = True
            processes, self._processes = self._processes, None
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if processes is not None:
            processes.shutdown(wait, cancel_futures=cancel_futures)

    def _counted(self, call: Callable[[], T]) -> T:
        with self._lock:
            self._calls += 1
            number = self._calls
            self._began[number] = time.monotonic()
        began = time.thread_time()
        try:
            return call()
        finally:
            with self._lock:
                del self._began[number]
                self._left -= time.thread_time() - began

    def _remaining(self) -> float:
        """Return what is left of the allowance; what a call under way has used is not known yet."""
        now = time.monotonic()
        self._left = min(self._most, self._left + GROWS_BY * (now - self._at))
        self._at = now
        return self._left - sum(now - began for began in self._began.values())

    def _ended(self, _done: "Future[T]") -> None:
        with self._lock:
            self._under_way -= 1
            self._asked_at = time.monotonic()
