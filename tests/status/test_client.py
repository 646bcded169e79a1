import asyncio
import socket
import subprocess
import sys
import threading

import pytest

from orchestrator.status.client import Answered, Client, NoDaemon, NotAllowed, Unreachable


async def test_the_commands_ask_and_order_through_the_client(world, make):
    """Status, pages, one set by id and by name, batches and orders come as JSON values."""
    for number in range(1, 4):
        await world.receive(make.info(number))
    await world.run(make.info(7, name="ä/ö:x"), make.part(make.info(7)))
    await world.room.feed.load()
    client = Client(world.path)

    def ask():
        assert client.status()["totals"]["sets"]["reading"] == 3
        assert len(list(client.sets())) == 4
        assert [one["name"] for one in client.sets(state=["running"], limit=1)] == ["ä/ö:x"]
        assert client.find(make.info(2).id)["name"] == "set-2"
        assert client.find("ä/ö:x")["id"] == make.info(7).id
        assert [one["serial"] for one in client.batches(make.info(7).id)] == [1]
        assert client.order("cancel", make.info(7).id)["verb"] == "cancel"
        assert client.order("adopt", make.info(7).id, {"token": "t", "job": "batches/x"})
        with pytest.raises(Answered, match=r"there is no set 'nobody'; `orchestrator status`"):
            client.find("nobody")
        with pytest.raises(Answered, match="nothing is left to pause"):
            client.order("pause", make.info(7).id)

    async with world.serving():
        await asyncio.to_thread(ask)


async def test_the_client_follows_the_events_to_the_end(world, make):
    """Events come one by one; when the daemon stops the stream ends, it does not fail."""
    await world.room.feed.load()
    for number in (1, 2):
        await world.receive(make.info(number))
    await world.room.feed.refresh()
    found = []
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()

    def follow():
        for event in Client(world.path).events(after=0):
            found.append(event["id"])
            if len(found) == 2:
                loop.call_soon_threadsafe(heard.set)

    async with world.serving():
        following = asyncio.ensure_future(asyncio.to_thread(follow))
        async with asyncio.timeout(10):
            await heard.wait()
    await following

    assert found == [1, 2]


def test_where_no_daemon_is_the_next_step_is_said(short):
    """Without a socket, and with a dead one, the message says how to start the daemon."""
    client = Client(short / "s")
    with pytest.raises(NoDaemon, match=r"no daemon is running for .*; start it with"):
        client.status()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(short / "s"))
    dead.close()
    with pytest.raises(NoDaemon, match="start it with `orchestrator run`"):
        client.status()
    with pytest.raises(Unreachable, match=r"too long for a socket; see service\.socket"):
        Client(short / ("x" * 120)).status()
    (short / "f").write_text("")
    with pytest.raises(Unreachable, match="start it with"):
        Client(short / "f").status()


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nnot json"])
def test_what_is_no_answer_of_ours_is_said(short, answer):
    """Somebody else's socket, or a daemon that dies while answering, is one clear sentence."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "s"))
        server.listen()

        def serve():
            end, _ = server.accept()
            with end:
                end.recv(65536)
                end.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Unreachable, match="see whether it is still running"):
            Client(short / "s").status()
        thread.join()


def test_a_daemon_that_does_not_answer_is_said(short):
    """A stopped daemon does not hang the command."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "s"))
        server.listen()

        with pytest.raises(Unreachable, match="does not answer; see its log"):
            Client(short / "s", timeout=0.05).status()


def test_an_answer_that_is_no_problem_is_a_problem_too(short):
    """An error without our form is still told with its status."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "s"))
        server.listen()

        def serve():
            end, _ = server.accept()
            with end:
                end.recv(65536)
                end.sendall(b"HTTP/1.1 502 Bad\r\nContent-Length: 2\r\n\r\n[]")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Answered, match="answered 502"):
            Client(short / "s").status()
        thread.join()


def test_who_may_not_connect_is_told_how(short):
    """A socket that is for others is said to be so, with the setting."""
    assert issubclass(NotAllowed, Unreachable)
    told = Client(short / "s")._gone(PermissionError(13, "Permission denied"))

    assert isinstance(told, NotAllowed)
    assert "service.socket_group" in str(told)


def test_the_client_is_light_to_import():
    """The commands start at once: the client loads no server, no database, no models."""
    heavy = "{'aiohttp', 'sqlalchemy', 'pydantic', 'prometheus_client', 'structlog', 'asyncio'}"
    script = f"import sys, orchestrator.status.client; print({heavy} & set(sys.modules))"

    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"
