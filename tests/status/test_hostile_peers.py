"""What a reader may do to the socket, and that nobody else notices."""

import asyncio
import os
import resource
import select
import socket
import subprocess
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from orchestrator.status.connections import Bounds

TIGHT = Bounds(connections_max=50, idle_seconds=0.2, stall_seconds=0.2)


@asynccontextmanager
async def peer(world):
    """Connect, and leave nothing behind at the end."""
    reader, writer = await asyncio.open_unix_connection(str(world.path))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def ended(reader):
    """Read until the other side ends the connection."""
    async with asyncio.timeout(20):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


async def healthy(world):
    async with peer(world) as (reader, writer):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b'{"status":"ok"}' in await ended(reader)


@pytest.mark.parametrize("start", [b"", b"GET", b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_who_sends_no_whole_request_is_cut_off(world, start):
    """A silent peer, or one that drips its headers, is dropped after the idle time."""
    async with world.serving(TIGHT), peer(world) as (reader, writer):
        writer.write(start)

        assert await ended(reader) == b""
        assert await healthy(world)


async def test_who_drips_the_body_of_an_order_is_answered_and_dropped(world, make):
    """An order whose body does not come is an error; nothing is ordered."""
    await world.receive(make.info(1))
    await world.room.feed.load()
    async with world.serving(TIGHT), peer(world) as (reader, writer):
        writer.write(
            f"POST /v1/sets/{make.info(1).id}:cancel HTTP/1.1\r\nHost: x\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )

        answer = await ended(reader)

        assert answer.startswith(b"HTTP/1.1 408")
        assert not world.orders.given


async def test_who_does_not_read_is_cut_off(world, make):
    """A peer that asks for more than it reads is dropped, and holds up nobody."""
    for number in range(300):
        await world.receive(make.info(number))
    await world.room.feed.load()
    async with world.serving(TIGHT), peer(world) as (reader, writer):
        reader._transport.pause_reading()
        writer.write(b"GET /v1/sets?limit=500 HTTP/1.1\r\nHost: x\r\n\r\n" * 8)

        assert await healthy(world)
        hung_up = select.poll()
        hung_up.register(writer.get_extra_info("socket").fileno(), select.POLLHUP)
        async with asyncio.timeout(20):
            while not hung_up.poll(0):  # noqa: ASYNC110 - the kernel rings no event
                await asyncio.sleep(0.01)
        reader._transport.resume_reading()
        assert (await ended(reader)).count(b"HTTP/1.1 200") < 8


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello tls\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: x\r\n" * 500 + b"\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", b"400"),
    ],
)
async def test_what_is_not_http_is_a_problem_and_the_end(world, garbage, status):
    """Garbage is answered with a 400 problem, the connection is closed, the next one is fine."""
    async with world.serving(TIGHT), peer(world) as (reader, writer):
        writer.write(garbage)

        answer = await ended(reader)

        assert answer.split(b"\r\n")[0].split()[1] == status
        assert b"application/problem+json" in answer
        assert b"aiohttp" not in answer
        assert await healthy(world)


async def poured(writer, size, *, chunked):
    """Send so many bytes, or as many as the other side takes; returns how many."""
    piece = b"x" * 65536
    sent = 0
    try:
        while sent < size:
            writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            await writer.drain()
            sent += len(piece)
    except ConnectionError:
        return sent
    return sent


async def test_a_gigabyte_is_refused_at_its_announcement(world, make):
    """A request of 1 GB is a 413 before its bytes are read; memory does not grow with it."""
    await world.receive(make.info(1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await world.room.feed.load()
    async with world.serving(TIGHT):
        for framing in (f"Content-Length: {10**9}", "Transfer-Encoding: chunked"):
            async with peer(world) as (reader, writer):
                head = f"POST /v1/sets/{make.info(1).id}:cancel HTTP/1.1\r\nHost: x\r\n"
                kind = "Content-Type: application/json\r\n"
                writer.write(f"{head}{kind}{framing}\r\n\r\n".encode())
                chunked = framing.startswith("Transfer")
                assert await poured(writer, 10**9, chunked=chunked) < 10**8
                told = await ended(reader)
                assert told == b"" or told.startswith(b"HTTP/1.1 413")
        assert await healthy(world)

    assert not world.orders.given
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


async def test_one_too_many_is_told_so_and_the_others_stay(world):
    """Beyond the limit a peer gets a 503 at once; when one leaves, the next one is let in."""
    async with AsyncExitStack() as stack, world.serving(Bounds(connections_max=3)):
        for _ in range(2):
            await stack.enter_async_context(peer(world))
        async with peer(world), peer(world) as (reader, _):
            told = await ended(reader)

        assert told.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 1" in told
        async with asyncio.timeout(10):
            while not await healthy(world):  # noqa: ASYNC110 - the kernel rings no event
                await asyncio.sleep(0)


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_ten_thousand_connects_leave_nothing_behind(world):
    """Peers that connect and go away, with or without a word, cost neither memory nor files."""
    async with world.serving():
        open_before = open_files()
        for number in range(10_000):
            end = socket.socket(socket.AF_UNIX)
            end.settimeout(0)
            try:
                end.connect(str(world.path))
                if number % 2:
                    end.send(b"GET /healthz HTTP/1.1\r\n\r\n")
            except BlockingIOError:
                await asyncio.sleep(0)
            end.close()
            if number % 100 == 0:
                await asyncio.sleep(0)
        async with asyncio.timeout(20):
            while open_files() > open_before:  # noqa: ASYNC110 - the kernel rings no event
                await asyncio.sleep(0)
        assert await healthy(world)


async def test_a_half_closed_peer_is_let_go(world):
    """A peer that closes its side of the line is gone for us; the others are served."""
    async with world.serving(TIGHT), peer(world) as (reader, writer):
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"retry: 2000")
        writer.write_eof()

        await ended(reader)
        assert await healthy(world)


async def test_a_thousand_followers_and_readers_at_once_are_served(world, make):
    """1,000 connections are open at once, each follows the events, and each hears the same."""
    connector = aiohttp.UnixConnector(path=str(world.path), limit=0)
    session = aiohttp.ClientSession("http://localhost", connector=connector)
    async with world.serving(), session:
        await world.room.feed.load()
        followers = [await session.get("/v1/events") for _ in range(1000)]
        await world.receive(make.info(1))
        await world.room.feed.refresh()

        async def hears(answer):
            async for line in answer.content:
                if line.startswith(b"id: "):
                    return int(line[4:])
            return 0

        async with asyncio.timeout(60):
            heard = [await hears(answer) for answer in followers]
            async with session.get("/v1/status") as answer:
                assert answer.status == 200
        assert heard == [1] * 1000
        for answer in followers:
            answer.close()


ASK = """
import os, socket, sys
os.setgroups([]); os.setgid(int(sys.argv[3])); os.setuid(int(sys.argv[2]))
end = socket.socket(socket.AF_UNIX)
try:
    end.connect(sys.argv[1])
except PermissionError:
    print("kept out"); sys.exit()
end.sendall((sys.argv[4] + " HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n").encode())
answer = b""
while piece := end.recv(65536):
    answer += piece
print(answer.split()[1].decode())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_the_group_may_read_and_only_the_owner_may_order(world, make):
    """Strangers are kept out by the kernel; the group reads; orders are for our user and root."""
    await world.receive(make.info(1))
    world.folder.chmod(0o755)
    get, post = "GET /v1/status", f"POST /v1/sets/{make.info(1).id}:cancel"

    async def ask(uid, gid, what):
        command = [sys.executable, "-c", ASK, str(world.path), str(uid), str(gid), what]
        run = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=True
        )
        return run.stdout.strip()

    async with world.serving():
        await world.room.feed.load()
        os.chown(world.path, 0, 4242)

        assert await ask(1234, 1234, get) == "kept out"
        assert await ask(1234, 4242, get) == "200"
        assert await ask(1234, 4242, post) == "403"
        assert await ask(65534, 4242, post) == "403"
        assert not world.orders.given
        assert await ask(0, 0, post) == "200"
    assert len(world.orders.given) == 1
