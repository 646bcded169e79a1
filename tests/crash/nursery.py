"""Starts the daemon and the emulator by forking a process that has imported everything already.

What runs is the command line's own `main`, in a process of its own, with its own session and
environment; only the interpreter's start and its imports, most of what a short life costs, are
spared. The server that the daemon's workers are forked from is a process from the beginning here,
and becomes that server when the daemon starts one: nothing is ever forked beside a thread.
"""

import atexit
import ctypes
import gc
import multiprocessing.util
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import orchestrator
from tests.crash import apart

LOOK_SECONDS = 0.02
CRASHED = 70
LAZILY_IMPORTED = (
    *("aiosqlite", "alembic.command", "alembic.config", "alembic.context", "alembic.op"),
    *("alembic.runtime.environment", "sqlalchemy.ext.compiler", "encodings.idna"),
)
_SERVER = re.compile(r"main\(\d+, \d+, ")


class Forked:
    """A forked process, with what is needed of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int = -1
        self._gone = False

    def poll(self) -> int | None:
        """Return the exit code, None while it lives."""
        if not self._gone:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._gone = True
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode if self._gone else None

    def wait(self, timeout: float) -> int:
        """Wait for its end, bounded."""
        ends = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > ends:
                raise TimeoutError(f"process {self.pid} does not end")
            time.sleep(LOOK_SECONDS)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)


def fork(arguments: Sequence[str], environment: Mapping[str, str], output: Path) -> Forked:
    """Run `orchestrator ARGUMENTS` in a new process; what it says goes into a file."""
    output.write_bytes(b"")  # whoever looks for it finds it
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Forked(pid)
    code = CRASHED
    try:
        _settle(environment, output)
        code = _run(arguments)
    finally:
        os._exit(code)


def prepare() -> None:
    """Import everything that a life imports, and start what all processes may share, once."""
    for module in walk_packages(orchestrator.__path__, "orchestrator."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in LAZILY_IMPORTED:
        with suppress(ImportError):  # another version has it elsewhere; that costs time only
            import_module(name)
    resource_tracker.ensure_running()
    gc.collect()
    gc.freeze()  # what is there stays, and is not walked through, and so copied, by every child


def _settle(environment: Mapping[str, str], output: Path) -> None:
    """Give the process a session, an output and an environment of its own."""
    apart.die_with_parent()
    os.setsid()
    sink = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (sink, 1), (sink, 2)):
        os.dup2(source, target)
    os.close(sink)
    os.close(nothing)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environment)
    _arm()
    _keep_server_ready()


def _arm() -> None:
    """Let the preloaded library read what this process is in for."""
    with suppress(AttributeError):  # not preloaded: nothing is to be struck
        ctypes.CDLL(None).strike_arm()


def _run(arguments: Sequence[str]) -> int:
    import orchestrator.__main__ as front
    from orchestrator.cli.program import main

    sys.modules["__main__"] = front  # workers ask what the main module is
    code = main(list(arguments))
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code


# ---- the workers' server ------------------------------------------------------------------------


def _keep_server_ready() -> None:
    """Fork what will be the workers' server; where one is started, hand that one the sockets."""
    ours, theirs = socket.socketpair()
    daemon = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        try:
            _serve_workers(theirs, daemon)
        finally:
            os._exit(0)
    theirs.close()
    spawn = multiprocessing.util.spawnv_passfds

    def started(path: Any, arguments: Sequence[Any], files: Sequence[int]) -> int:
        command = str(arguments[-1])
        if not _SERVER.search(command):
            return spawn(path, arguments, files)
        socket.send_fds(ours, [command.encode()], list(files))
        return pid

    multiprocessing.util.spawnv_passfds = started  # type: ignore[assignment]


def _serve_workers(asked: socket.socket, daemon: int) -> None:
    """Wait for the sockets, then serve as `multiprocessing` does; end when the daemon ends."""
    command, files, _, _ = socket.recv_fds(asked, 1 << 16, 8)
    if not command or os.getppid() != daemon:
        return
    listener, alive = files
    text = _SERVER.sub(f"main({listener}, {alive}, ", command.decode(), count=1)
    asked.close()
    exec(text, {"main": forkserver.main})  # what a new interpreter would run
