"""A process inside a simulated world: it owns its tasks and connections, and it can be killed.

A killed process does nothing any more. Its tasks are cancelled, so that Python lets go of them,
but whatever they still try to do to the world while they unwind is refused with `Killed`; its
kernel resets its connections, and its listeners are gone.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, Protocol


class Killed(BaseException):
    """The process died here. No `except Exception` may live through it."""


class Mortal(Protocol):
    """What dies with a process: a connection or a listener."""

    def vanish(self) -> None: ...


_current: ContextVar["Process | None"] = ContextVar("process", default=None)


class Process:
    """One life of a program."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.died = asyncio.Event()
        self._tasks: list[asyncio.Task[Any]] = []
        self._owned: list[Mortal] = []

    def start(self, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run the program's main coroutine as this process."""
        context = copy_context()
        context.run(_current.set, self)
        return asyncio.get_running_loop().create_task(main, context=context)

    def check(self) -> None:
        """Raise `Killed` if this process is dead."""
        if not self.alive:
            raise Killed(self.name)

    def own(self, mortal: Mortal) -> None:
        """Let something die with the process."""
        self._owned.append(mortal)

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        """Count a task to this process."""
        self._tasks = [other for other in self._tasks if not other.done()]
        self._tasks.append(task)

    def kill(self) -> None:
        """End the process where it stands; nothing of it reaches the world from here on."""
        if not self.alive:
            return
        self.alive = False
        self.died.set()
        for mortal in self._owned:
            mortal.vanish()

    async def buried(self, rounds: int = 200) -> None:
        """Wait until its tasks have unwound; one that survives this many cancels is a bug."""
        for turn in range(rounds):
            left = [task for task in self._tasks if not task.done()]
            if turn % 20 == 0:  # in between they may close what they hold open
                for task in left:
                    task.cancel()
            if not left:
                break
            await asyncio.sleep(0)
        left = [task for task in self._tasks if not task.done()]
        assert not left, f"{self.name}: cannot be cancelled: {left}"
        for task in self._tasks:
            if not task.cancelled():
                task.exception()  # it is dead; what it died of is known


def current() -> Process | None:
    """Return the process whose code is running; None outside of all of them."""
    return _current.get()


def owning_tasks(
    loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, Any], **options: Any
) -> "asyncio.Task[Any]":
    """Make a task that its process can be asked for (a task factory)."""
    task = asyncio.Task(main, loop=loop, **options)
    context = options.get("context")
    owner = context.get(_current) if context is not None else _current.get()
    if owner is not None:
        owner.adopt(task)
    return task
