"""A server that does over real sockets exactly what a test tells it, and remembers what it saw."""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; `body` may be shorter than its Content-Length if it was cut."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def length(self) -> int:
        return int(self.headers.get("content-length", "0"))


class Connection:
    """One connection as the server holds it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: list[Seen]
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._seen = seen

    async def request(self, body_bytes_max: int | None = None) -> Seen:
        """Read one request, or only so many bytes of its body."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        lines = (line.split(":", 1) for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, value in lines}
        wanted = int(headers.get("content-length", "0"))
        wanted = wanted if body_bytes_max is None else min(wanted, body_bytes_max)
        try:
            body = await self._reader.readexactly(wanted)
        except asyncio.IncompleteReadError as error:
            body = error.partial
        seen = Seen(method, target, headers, body)
        self._seen.append(seen)
        return seen

    async def send(self, content: bytes) -> None:
        self._writer.write(content)
        await self._writer.drain()

    def reset(self) -> None:
        """Send RST."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, linger
        )
        self._writer.transport.abort()

    async def hang(self) -> None:
        """Say nothing until the client goes away."""
        with suppress(ConnectionError):
            while await self._reader.read(1 << 16):
                pass


Reply = bytes | Callable[[Connection], Awaitable[None]]


@dataclass
class Script:
    """The server under a test's command: one reply for each connection, the last one repeated."""

    replies: list[Reply]
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    scheme: str = "http"
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        reply = self.replies[min(self.connections, len(self.replies) - 1)]
        self.connections += 1
        connection = Connection(reader, writer, self.seen)
        # A cancelled handler would be reported by asyncio's streams, so it ends like any other.
        with suppress(asyncio.CancelledError):
            await self._reply(connection, reply)
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            return
        writer.transport.abort()

    async def _reply(self, connection: Connection, reply: Reply) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if isinstance(reply, bytes):
                await connection.request()
                await connection.send(reply)
            else:
                await reply(connection)

    async def stop(self) -> None:
        """End what still serves a connection."""
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks)


@asynccontextmanager
async def scripted(*replies: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[Script]:
    """Serve these replies on the loopback, one for each connection."""
    script = Script(list(replies) or [answer(500)], scheme="https" if tls else "http")
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    script.port = server.sockets[0].getsockname()[1]
    try:
        yield script
    finally:
        await script.stop()
        server.close()
        await server.wait_closed()


def answer(
    status: int = 200, body: bytes | Any = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """Write an answer after which the server closes; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, indent=1).encode()
    kind = "text/html" if content.startswith(b"<") else "application/json; charset=UTF-8"
    lines = {
        "content-type": kind,
        "content-length": str(len(content)),
        "connection": "close",
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + content


def rpc(status: int, name: str, message: str, *details: Any, **headers: str) -> bytes:
    """Write the API's error answer."""
    error = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = list(details)
    return answer(status, {"error": error}, {k.replace("_", "-"): v for k, v in headers.items()})
