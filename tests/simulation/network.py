"""A network in memory under real protocols: names instead of sockets, latency, and its troubles.

A connection is two transports; each direction keeps the order of its bytes. A `Trouble` may
befall any piece of data on its way: it is reset, swallowed with all that follows (a black hole),
or cut in the middle and then reset. `refuse` decides about connecting. Both ends of a connection
see a reset as they would from the kernel; a black hole neither sees.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Literal, Never, TypeAlias

from tests.simulation.process import current

Fate: TypeAlias = Literal["arrives", "reset", "swallowed", "cut"]
Factory: TypeAlias = Callable[[], asyncio.BaseProtocol]


class Network:
    """Listeners by name, and the weather between them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int) -> None:
        self.loop = loop
        self._random = random.Random(f"network {seed}")
        self._listeners: dict[str, tuple[Factory, Context]] = {}
        self.latency_seconds = 0.02
        self.fate: Callable[[SimTransport, bytes], Fate] = lambda _end, _data: "arrives"
        self.refuse: Callable[[str], bool] = lambda _name: False
        self.connections = 0

    def latency(self) -> float:
        """Draw how long something takes to arrive, in seconds."""
        return self._random.expovariate(1 / self.latency_seconds)

    def listens(self, name: str) -> bool:
        """Tell whether somebody listens under a name."""
        return name in self._listeners

    def listen(self, name: str, factory: Factory) -> "SimServer":
        """Serve under a name; an address in use is an error, as it is outside."""
        if name in self._listeners:
            raise OSError(98, f"address {name} is in use")
        self._listeners[name] = (factory, copy_context())
        server = SimServer(self, name)
        _owned(server)
        return server

    def close(self, name: str) -> None:
        """Stop listening."""
        self._listeners.pop(name, None)

    async def dial(self, name: str) -> None:
        """Go as far as the kernel's handshake."""
        await asyncio.sleep(self.latency())
        if name not in self._listeners or self.refuse(name):
            raise ConnectionRefusedError(111, f"nobody listens at {name}")

    async def connect(
        self, name: str, factory: Factory
    ) -> tuple["SimTransport", asyncio.BaseProtocol]:
        """Connect a client's protocol to the server's."""
        await self.dial(name)
        self.connections += 1
        serve, context = self._listeners[name]
        near = SimTransport(self, f"client {self.connections}", factory())
        far = context.copy().run(self._accept, serve, near)
        near.peer, far.peer = far, near
        near.get_protocol().connection_made(near)
        far.in_context(far.get_protocol().connection_made, far)
        return near, near.get_protocol()

    def _accept(self, serve: Factory, near: "SimTransport") -> "SimTransport":
        """Make the server's end, as the server's process."""
        return SimTransport(self, near.label.replace("client", "server"), serve())


class SimServer(asyncio.AbstractServer):
    """What create_server returns."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self._name = name
        self.sockets: tuple[object, ...] = ()

    def close(self) -> None:
        self._network.close(self._name)

    async def wait_closed(self) -> None:
        return None

    def is_serving(self) -> bool:
        return self._network.listens(self._name)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    async def start_serving(self) -> None:
        return None

    async def serve_forever(self) -> Never:
        await asyncio.Event().wait()
        raise AssertionError

    def close_clients(self) -> None:
        return None

    def vanish(self) -> None:
        """Die with the process."""
        self.close()


class SimTransport(asyncio.Transport):
    """One end of a connection."""

    peer: "SimTransport"

    def __init__(self, network: Network, label: str, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.network = network
        self.label = label
        self._protocol = protocol
        self._arrives = 0.0
        self._swallows = False
        self._closing = False
        self._lost = False
        self._paused = False
        self._waiting: deque[bytes | None] = deque()
        self._context = copy_context()
        _owned(self)

    def in_context(self, call: Callable[..., None], *what: Any) -> None:
        """Call the protocol as the process that it belongs to."""
        self._context.copy().run(call, *what)

    # ---- sending ------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._swallows or not data:
            return
        piece = bytes(data)
        match self.network.fate(self, piece):
            case "arrives":
                self._send(self.peer.receive, piece)
            case "reset":
                self.reset()
            case "swallowed":
                self._swallows = True
            case "cut":
                self._send(self.peer.receive, piece[: len(piece) // 2])
                self._send(self._break)
                self._swallows = True

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def write_eof(self) -> None:
        if not (self._closing or self._swallows):
            self._send(self.peer.receive, None)

    def _send(self, arrive: Callable[..., None], *what: Any) -> None:
        loop = self.network.loop
        at = max(loop.time() + self.network.latency(), self._arrives)
        self._arrives = at + 1e-6  # the bytes of one direction never overtake each other
        loop.call_at(at, arrive, *what)

    # ---- receiving ----------------------------------------------------------------------------

    def receive(self, piece: bytes | None) -> None:
        """Take what arrives; None is the end of the stream."""
        self._waiting.append(piece)
        self._deliver()

    def _deliver(self) -> None:
        while self._waiting and not self._paused and not self._lost:
            piece = self._waiting.popleft()
            if piece is not None:
                self.in_context(self._receiver.data_received, piece)
            else:
                self.in_context(self._hear_end)

    def _hear_end(self) -> None:
        if not self._receiver.eof_received():
            self.close()

    @property
    def _receiver(self) -> asyncio.Protocol:
        assert isinstance(self._protocol, asyncio.Protocol)
        return self._protocol

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self.network.loop.call_soon(self._deliver)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    # ---- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        if not self._closing:
            self.write_eof()
            self._closing = True
            self.network.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Break the connection; the other end hears of it when the reset arrives."""
        self._closing = True
        self._lose(None if self._lost else ConnectionResetError(104, "connection reset by peer"))
        if not self._swallows:
            self._send(self.peer.hear_reset)

    def hear_reset(self) -> None:
        """Learn that the other end is gone."""
        self._closing = True
        self._lose(ConnectionResetError(104, "connection reset by peer"))

    def _break(self) -> None:
        self.hear_reset()
        self.peer.hear_reset()

    def vanish(self) -> None:
        """Die with the process: its kernel resets the connection, its protocol hears nothing."""
        self._closing = self._lost = True
        self._send(self.peer.hear_reset)
        self._swallows = True

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self.network.loop.call_soon(
                self._protocol.connection_lost, error, context=self._context.copy()
            )

    def is_closing(self) -> bool:
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return None


def _owned(mortal: "SimServer | SimTransport") -> None:
    owner = current()
    if owner is not None:
        owner.own(mortal)
