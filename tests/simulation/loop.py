"""An asyncio event loop without waiting: when nothing is ready, the clock jumps to the next timer.

Days pass in milliseconds, and a seed decides everything: the latency of the network and the
order in which tasks that became ready together go on. Sockets are served in memory (`network`),
so unmodified aiohttp clients and servers run on it. Executors run inline: while a thread works,
virtual time would run away from it.

Only the order *between* tasks is shuffled. Plain callbacks keep theirs, which asyncio promises.
"""

import asyncio
import random
import selectors
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from aiohttp import connector

from tests.simulation.network import Network
from tests.simulation.process import owning_tasks

T = TypeVar("T")


class SimDeadlock(RuntimeError):
    """Nothing is ready and no timer is set: the program would wait for ever."""


class _JumpingSelector(selectors.BaseSelector):
    """Watches nothing; to wait means to let virtual time pass."""

    def __init__(self) -> None:
        self.loop: SimLoop | None = None
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj, events, data=None):
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, number, events, data)
        self._keys[number] = key
        return key

    def unregister(self, fileobj):
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def get_map(self):
        return self._keys

    def select(self, timeout=None):
        assert self.loop is not None
        if timeout is None:
            raise SimDeadlock("nothing is ready and nothing is scheduled")
        self.loop.pass_time(timeout)
        return []


class SimLoop(asyncio.SelectorEventLoop):
    """The loop. `network` is its world of sockets; `steps` counts rounds, as a bound for worlds."""

    _ready: deque[asyncio.Handle]

    def __init__(self, seed: int = 0, *, shuffle: bool = True) -> None:
        self._now = 0.0
        self._random = random.Random(f"loop {seed}")
        self._shuffle = shuffle
        self.steps = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-9
        self.network = Network(self, seed)
        self.set_task_factory(owning_tasks)  # type: ignore[arg-type]
        self._dialled: dict[int, tuple[str, int]] = {}

    def time(self) -> float:
        return self._now

    def pass_time(self, seconds: float) -> None:
        """Move the clock; then let what is ready go on in an order that the seed decides."""
        self.steps += 1
        if seconds > 0:
            self._now += seconds
        if self._shuffle and len(self._ready) > 1:
            self._shuffle_tasks()

    def _shuffle_tasks(self) -> None:
        ready = list(self._ready)
        places = [place for place, handle in enumerate(ready) if _resumes_a_task(handle)]
        if len(places) > 1:
            for place, chosen in zip(places, self._random.sample(places, len(places)), strict=True):
                self._ready[place] = ready[chosen]

    # ---- sockets ------------------------------------------------------------------------------

    async def create_unix_server(self, protocol_factory, path=None, **options):
        return self.network.listen(str(path), protocol_factory)

    async def create_server(self, protocol_factory, host=None, port=None, *, sock=None, **options):
        if sock is not None:
            host, port = sock.getsockname()[:2]
        return self.network.listen(f"{host}:{port}", protocol_factory)

    async def create_unix_connection(self, protocol_factory, path=None, **options):
        return await self.network.connect(str(path), protocol_factory)

    async def create_connection(self, protocol_factory, host=None, port=None, *, sock=None, **more):
        if sock is not None:
            host, port = self._dialled.pop(sock.fileno())
            sock.close()
        return await self.network.connect(f"{host}:{port}", protocol_factory)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        host, port = address[:2]
        await self.network.dial(f"{host}:{port}")
        self._dialled[sock.fileno()] = (host, port)

    async def getaddrinfo(self, host, port, *, family=0, type=0, proto=0, flags=0):  # noqa: A002
        if self.network.listens(f"{host}:{port}"):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # ---- executors ----------------------------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done


class InlineExecutor(Executor):
    """Does the work at once, in the caller."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is the caller's
            done.set_exception(error)
        return done


def simulate(world: Callable[[SimLoop], Coroutine[Any, Any, T]], seed: int = 0) -> T:
    """Run `world` to its end on a new loop; whatever is left of it then is cancelled.

    The pool of connections reads a clock of its own, by which none would ever be idle for too long.
    """
    loop = SimLoop(seed)
    asyncio.set_event_loop(loop)
    pool: Any = connector
    real, pool.monotonic = pool.monotonic, loop.time
    try:
        return loop.run_until_complete(world(loop))
    finally:
        _clear(loop)
        asyncio.set_event_loop(None)
        loop.close()
        pool.monotonic = real


def _clear(loop: SimLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=3600))
    loop.run_until_complete(loop.shutdown_asyncgens())


def _resumes_a_task(handle: Any) -> bool:
    return isinstance(getattr(handle._callback, "__self__", None), asyncio.Task)
