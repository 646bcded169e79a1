"""The simulated loop and network carry real asyncio and aiohttp programs, repeatably."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from tests.simulation.loop import InlineExecutor, SimDeadlock, SimLoop, simulate
from tests.simulation.network import Fate
from tests.simulation.process import Killed, Process, current

DAY = 86_400.0


async def _echo(request: web.Request) -> web.Response:
    await asyncio.sleep(float(request.query.get("seconds", "0")))
    return web.json_response({"echo": await request.text()})


@asynccontextmanager
async def echo_server(address: str) -> AsyncIterator[None]:
    """Serve on `host:port` or on the path of a Unix socket."""
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/echo", _echo)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, colon, port = address.partition(":")
    site = web.TCPSite(runner, host, int(port)) if colon else web.UnixSite(runner, address)
    await site.start()
    try:
        yield
    finally:
        await runner.cleanup()


async def ask(session: aiohttp.ClientSession, text: str = "hello", **query: str) -> str:
    async with session.post("/echo", data=text, params=query) as answer:
        answer.raise_for_status()
        body = await answer.json()
        return str(body["echo"])


def tcp_session(seconds: float = 300) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=seconds)
    return aiohttp.ClientSession("http://127.0.0.1:8080", timeout=timeout)


def test_days_pass_in_no_time() -> None:
    """A sleep moves the clock by exactly its length."""

    async def world(loop: SimLoop) -> float:
        await asyncio.sleep(7 * DAY)
        return loop.time()

    assert simulate(world) == 7 * DAY


def test_a_program_that_would_hang_is_told_so() -> None:
    """Waiting for what nobody will do is a deadlock, not a test that never ends."""

    async def world(loop: SimLoop) -> None:
        await loop.create_future()

    with pytest.raises(SimDeadlock):
        simulate(world)


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "/run/echo.sock"])
def test_real_aiohttp_runs_on_it(address: str) -> None:
    """An unmodified client and server talk over TCP and over a Unix socket, large bodies too."""
    text = "x" * 1_000_000

    async def world(_loop: SimLoop) -> str:
        connector = None if ":" in address else aiohttp.UnixConnector(address)
        async with (
            echo_server(address),
            aiohttp.ClientSession("http://127.0.0.1:8080", connector=connector) as session,
        ):
            return await ask(session, text)

    assert simulate(world) == text


def test_nobody_listening_is_a_refused_connection() -> None:
    """Connecting to nothing fails in the connect phase."""

    async def world(_loop: SimLoop) -> None:
        async with tcp_session() as session:
            await ask(session)

    with pytest.raises(aiohttp.ClientConnectorError):
        simulate(world)


@pytest.mark.parametrize(
    ("side", "fate", "error"),
    [
        ("client", "reset", aiohttp.ClientOSError),
        ("client", "swallowed", TimeoutError),
        ("client", "cut", aiohttp.ClientOSError),
        ("server", "reset", aiohttp.ClientOSError),
        ("server", "swallowed", TimeoutError),
        ("server", "cut", aiohttp.ClientError),
    ],
)
def test_the_network_has_bad_manners(side: str, fate: Fate, error: type[Exception]) -> None:
    """A reset, a black hole and a cut look to the client as they do outside."""

    async def world(loop: SimLoop) -> None:
        loop.network.fate = lambda end, _: fate if end.label.startswith(side) else "arrives"
        async with echo_server("127.0.0.1:8080"), tcp_session(60) as session:
            await ask(session)

    with pytest.raises(error):
        simulate(world)


def test_timeouts_are_exact() -> None:
    """An answer after the limit is a timeout at the limit; one before it is an answer."""

    async def world(loop: SimLoop) -> tuple[str, float]:
        async with echo_server("127.0.0.1:8080"), tcp_session() as session:
            early = await ask(session, seconds="299")
            before = loop.time()
            with pytest.raises(TimeoutError):
                await ask(session, seconds="301")
            return early, loop.time() - before

    early, waited = simulate(world)
    assert early == "hello"
    assert waited == pytest.approx(300, abs=1)


def test_executors_work_inline() -> None:
    """What is given to an executor is done before anything else happens."""

    async def world(loop: SimLoop) -> list[int]:
        executor = InlineExecutor()
        first = await loop.run_in_executor(executor, pow, 2, 10)
        second = await asyncio.wrap_future(executor.submit(pow, 2, 11))
        return [first, second, int(loop.time())]

    assert simulate(world) == [1024, 2048, 0]


def test_the_seed_decides_the_order_of_tasks() -> None:
    """Tasks that are ready together go on in an order that differs from seed to seed only."""

    async def world(_loop: SimLoop) -> tuple[int, ...]:
        order: list[int] = []

        async def note(number: int) -> None:
            await asyncio.sleep(0)
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(note(number))
        return tuple(order)

    assert len({simulate(world, seed) for seed in range(20)}) > 10
    assert all(simulate(world, seed) == simulate(world, seed) for seed in range(5))


def test_callbacks_keep_their_order() -> None:
    """asyncio promises that plain callbacks run in the order in which they were given."""

    async def world(loop: SimLoop) -> list[int]:
        order: list[int] = []
        for number in range(10):
            loop.call_soon(order.append, number)
        await asyncio.sleep(1)
        return order

    assert simulate(world, 7) == list(range(10))


def test_a_killed_process_does_nothing_more() -> None:
    """Its tasks unwind without reaching the world, and its peers see their connections reset."""

    async def world(_loop: SimLoop) -> tuple[list[str], bool, bool]:
        done: list[str] = []
        process = Process("first life")

        async def effect(name: str) -> None:
            owner = current()
            assert owner is not None
            owner.check()
            done.append(name)

        async def main() -> None:
            try:
                async with echo_server("127.0.0.1:8080"), asyncio.TaskGroup() as group:
                    group.create_task(effect("at work"))
                    group.create_task(asyncio.sleep(DAY))
            finally:
                await effect("clean-up")

        life = process.start(main())
        async with tcp_session() as session:
            asking = asyncio.ensure_future(ask(session, seconds="100"))
            await asyncio.sleep(10)
            process.kill()
            await process.buried()
            await asyncio.wait([asking])
            heard = isinstance(asking.exception(), aiohttp.ClientConnectionError)
            with pytest.raises(aiohttp.ClientConnectorError):
                await ask(session)
        return done, heard, isinstance(life.exception(), Killed)

    assert simulate(world) == (["at work"], True, True)


async def _busy_world(loop: SimLoop) -> str:
    """Let many clients talk through bad weather and hash all that is seen, with its time."""
    seen = hashlib.sha256()
    loop.network.fate = (  # weather by the clock, so that it depends on the seed as well
        lambda _end, _data: "reset" if int(loop.time() * 1e6) % 17 == 0 else "arrives"
    )

    async def talk(session: aiohttp.ClientSession, number: int) -> None:
        for turn in range(10):
            try:
                heard = await ask(session, f"{number}-{turn}", seconds=str(number))
            except aiohttp.ClientError as error:
                heard = type(error).__name__
            seen.update(f"{loop.time():.9f} {heard}\n".encode())

    async with (
        echo_server("127.0.0.1:8080"),
        tcp_session() as session,
        asyncio.TaskGroup() as group,
    ):
        for number in range(8):
            group.create_task(talk(session, number))
    return seen.hexdigest()


def test_the_same_seed_is_the_same_world() -> None:
    """A trace with its times is the same on every run and differs between seeds."""
    hashes = [simulate(_busy_world, seed) for seed in range(3)]

    assert [simulate(_busy_world, seed) for seed in range(3)] == hashes
    assert len(set(hashes)) == 3


def test_the_hash_seed_does_not_matter() -> None:
    """Two interpreters with different hash seeds see the same trace."""
    program = (
        "from tests.simulation.loop import simulate\n"
        "from tests.simulation.test_loop import _busy_world\n"
        "print(simulate(_busy_world, 5))"
    )

    def trace(hash_seed: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
        )
        return ran.stdout

    assert trace("1") == trace("2") == simulate(_busy_world, 5) + "\n"
