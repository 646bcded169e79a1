"""Everybody whom the daemon tells something: systemd, an event stream, a webhook, a command.

What they were told is kept, to be searched for what it must not hold.
"""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from orchestrator.status.client import Client, Unreachable

DATAGRAM_BYTES_MAX = 65_536
PATIENCE_SECONDS = 0.2


@dataclass
class Ears:
    """What was heard, by who heard it; `place` is where the command and the sockets are."""

    place: Path
    port: int = 0
    heard: dict[str, bytes] = field(
        default_factory=lambda: dict.fromkeys(("systemd", "webhook", "events"), b"")
    )

    @property
    def manager(self) -> str:
        """What $NOTIFY_SOCKET is to be."""
        return str(self.place / "manager")

    @property
    def settings(self) -> str:
        """The settings by which the daemon tells the command and the webhook."""
        keep = f"cat >>{self.place}/command; env >>{self.place}/command"
        command = json.dumps(["/bin/sh", "-c", keep])
        return f'[notify]\ncommand = {command}\nwebhook_url = "http://127.0.0.1:{self.port}/hook"\n'

    @property
    def everything(self) -> dict[str, bytes]:
        """What all of them heard."""
        return {**self.heard, "command": (self.place / "command").read_bytes()}

    def follow(self, client: Client) -> None:
        """Listen to the event stream until the daemon stops."""
        with suppress(Unreachable):
            for event in client.events(after=0):
                self.heard["events"] += json.dumps(event, ensure_ascii=False).encode() + b"\n"


def metrics(path: Path) -> bytes:
    """Return what a scrape of the socket's /metrics gives."""
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(str(path))
        end.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: end.recv(DATAGRAM_BYTES_MAX), b""))


@contextmanager
def listening(place: Path) -> Iterator[Ears]:
    """Listen as systemd and as the webhook's receiver."""
    ears, over = Ears(place), threading.Event()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ears.heard["webhook"] += self.headers.as_bytes() + body + b"\n"
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def manage(end: socket.socket) -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                ears.heard["systemd"] += end.recv(DATAGRAM_BYTES_MAX) + b"\n"

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(ears.manager)
        end.settimeout(PATIENCE_SECONDS)
        server = HTTPServer(("127.0.0.1", 0), Hook)
        ears.port = server.server_port
        threads = [threading.Thread(target=manage, args=(end,))]
        threads.append(threading.Thread(target=server.serve_forever))
        for thread in threads:
            thread.start()
        try:
            yield ears
        finally:
            over.set()
            server.shutdown()
            server.server_close()
            for thread in threads:
                thread.join()
