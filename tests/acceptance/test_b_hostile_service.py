"""Beyond the list: a service that answers without end. Memory stays flat, and it is said."""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.acceptance.house import DEFAULTS, House, house, judge
from tests.acceptance.memory import rss_max
from tests.judging.drops import Drop

pytestmark = pytest.mark.soak  # each call's bounds belong to every run: tests/gemini
MB = 1_000_000
ENDLESS = 10_000 * MB
PIECE = b"x" * MB
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PATIENT = "[gemini]\ncall_timeout_seconds = 2\ntransfer_idle_timeout_seconds = 2\n"


def _endless(end: socket.socket) -> None:
    end.sendall(OK + f"Content-Length: {ENDLESS}\r\n\r\n".encode() + b'{"operations":"')
    for _ in range(ENDLESS // MB):
        end.sendall(PIECE)


def _chunked(end: socket.socket) -> None:
    end.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(ENDLESS // MB):
        end.sendall(f"{MB:x}\r\n".encode() + PIECE + b"\r\n")


def _wide_header(end: socket.socket) -> None:
    end.sendall(OK + b"X-Wide: " + PIECE + b"\r\nContent-Length: 2\r\n\r\n{}")


def _headers_without_end(end: socket.socket) -> None:
    end.sendall(OK)
    many = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 1000) for number in range(1000))
    for _ in range(ENDLESS // MB):
        end.sendall(many)


def _drip(end: socket.socket) -> None:
    end.sendall(OK + b"Content-Length: 100000\r\n\r\n")
    for _ in range(100_000):
        end.sendall(b" ")
        if GOING.wait(0.2):
            return


def _split(end: socket.socket) -> None:
    end.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 5\r\n\r\n{}x\x00\r\n")


GOING = threading.Event()
MANNERS: dict[str, Callable[[socket.socket], None]] = {
    "a body without end": _endless,
    "chunks without end": _chunked,
    "a header of a megabyte": _wide_header,
    "headers without end": _headers_without_end,
    "a drip without end": _drip,
    "two lengths": _split,
}


class HostileService:
    """Answers every call in one manner, on a port of this machine; counts the answers by manner."""

    def __init__(self) -> None:
        self.manner = next(iter(MANNERS))
        self.answered: Counter[str] = Counter()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        GOING.clear()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                end, _ = self._door.accept()
                threading.Thread(target=self._answer, args=(end,), daemon=True).start()

    def _answer(self, end: socket.socket) -> None:
        manner = self.manner
        with end, suppress(OSError):
            end.recv(65536)
            MANNERS[manner](end)
        self.answered[manner] += 1

    def close(self) -> None:
        """Take no more calls, and let the drips end."""
        GOING.set()
        self._door.close()


def test_answers_without_end_cost_no_memory_and_are_survived(tmp_path):
    """Ten gigabytes, endless headers, a drip: each is broken off, told, and lived through."""
    service = HostileService()
    with house(tmp_path) as one:
        try:
            drop = _meet(one, service)
        finally:
            service.close()
        highest = rss_max(one)
        one.stop()
        one.configure(DEFAULTS)
        one.start()

        assert judge(one, drop) == []
        assert highest < 300 * MB


def _meet(one: House, service: HostileService) -> Drop:
    """Let the daemon meet each manner some times, with a set under way."""
    drop = Drop("patient", 2)
    one.stop()
    one.configure(DEFAULTS + PATIENT, port=service.port)
    one.start()
    drop.put(one.inbox)
    for manner in MANNERS:
        service.manner = manner
        one.until(lambda: service.answered[service.manner] >= 3, manner)
        assert one.status()["service"]["state"] in {"running", "degraded"}
    told = [each for each in one.status()["conditions"] if each["kind"] == "unreachable"]
    assert told
    return drop
