"""The processes that do the work on bytes; a worker that is killed costs a retry, not a set.

Trouble: a call whose worker dies is given to a new pool, `TRIES` times in all (calls must be
repeatable); then `WorkersLost` says so. The operating system kills the largest process when memory
runs out, so the usual remedy is fewer workers.

A process is started from a thread of our own: it takes as long as its imports do, up to seconds,
and whoever asks, the event loop above all, must not be held by it.
"""

import asyncio
import ctypes
import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from threading import Lock
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 3
PRELOADED = ("orchestrator.spool.ranges_scan",)
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 8 << 20
_COLLECT_AFTER = 50_000


class WorkersLost(Exception):
    """Worker processes died again and again while they did one call."""


class Inline(Executor):
    """Does each call at once, in the caller: for simulations, tests and small commands."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call and return the finished future."""
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it is, the future carries it
            done.set_exception(error)
        return done


class Workers(Executor):
    """A process pool that is made again when it breaks. Calls must be repeatable."""

    def __init__(self, processes: int, preload: Sequence[str] = PRELOADED) -> None:
        self._processes = processes
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._preload = tuple(preload)
        self._lock = Lock()  # futures are finished in the pool's own thread
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="workers")

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do the call in a worker; the future raises `WorkersLost` when none survives it."""
        outer: Future[T] = Future()
        with self._lock:
            self._check_open()
            self._starter.submit(self._start, outer, partial(fn, *args, **kwargs), TRIES)
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 - the base class's signature
        """Let the workers end."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait, cancel_futures=cancel_futures)
        self._starter.shutdown(wait)

    def _start(self, outer: Future[T], call: Callable[[], T], tries: int) -> None:
        """Give the call to the pool; whatever keeps it from there is told to who waits for it."""
        try:
            self._attempt(outer, call, tries)
        except Exception as error:  # noqa: BLE001 - whatever it is, the future carries it
            if outer.set_running_or_notify_cancel():
                outer.set_exception(error)

    def _attempt(self, outer: Future[T], call: Callable[[], T], tries: int) -> None:
        pool = self._live_pool()
        try:
            inner = pool.submit(call)
        except BrokenProcessPool as error:
            self._broke(outer, call, tries, pool, error)
            return
        inner.add_done_callback(partial(self._finish, outer, call, tries, pool))
        outer.add_done_callback(lambda done: done.cancelled() and inner.cancel())

    def _finish(
        self,
        outer: Future[T],
        call: Callable[[], T],
        tries: int,
        pool: ProcessPoolExecutor,
        inner: Future[T],
    ) -> None:
        if inner.cancelled() or outer.cancelled():
            outer.cancel()
            return
        error = inner.exception()
        if isinstance(error, BrokenProcessPool):
            self._broke(outer, call, tries, pool, error)
        elif outer.set_running_or_notify_cancel():
            if error is None:
                outer.set_result(inner.result())
            else:
                outer.set_exception(error)

    def _broke(
        self,
        outer: Future[T],
        call: Callable[[], T],
        tries: int,
        pool: ProcessPoolExecutor,
        error: BrokenProcessPool,
    ) -> None:
        """Do the call in a new pool, or say that it cannot be done."""
        with self._lock:
            if self._pool is pool:
                self._pool = None
            closed = self._closed
        # A broken pool ends by itself; from Python 3.12 it holds its own lock while it tells us.
        if tries > 1 and not closed:
            self._start(outer, call, tries - 1)
        elif outer.set_running_or_notify_cancel():
            lost = WorkersLost(
                f"worker processes died {TRIES} times over the same work; "
                "if memory ran out, lower intake.workers"
            )
            lost.__cause__ = error
            outer.set_exception(lost)

    def _live_pool(self) -> ProcessPoolExecutor:
        with self._lock:
            self._check_open()
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self._processes, self._context, _begin, (self._preload,)
                )
            return self._pool

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the workers were shut down")


def _begin(preload: Sequence[str]) -> None:
    """Start a worker: it leaves signals to the daemon, dies with it, and has what it needs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        sys.exit(0)  # the daemon was gone before we asked to be told
    _tune_memory()
    for module in preload:
        importlib.import_module(module)


def _tune_memory() -> None:
    """Let buffers of a few megabytes be used again: fresh pages cost more than what is done there.

    The collector finds nothing in what a worker makes, so it looks seldom.
    """
    gc.set_threshold(_COLLECT_AFTER)
    with suppress(AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _KEPT_BYTES)


async def call(workers: Executor, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do a call in the executor; an inline executor does it at once, without a thread."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(workers, partial(fn, *args, **kwargs))
