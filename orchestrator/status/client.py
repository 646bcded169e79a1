"""The other end of the status socket, for the commands: blocking, and light to import.

Trouble: every failure is one sentence that says what to do. `NoDaemon` when nobody is there,
`NotAllowed` when the socket is not for us, `Answered` when the daemon declined.
"""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

SECONDS = 10.0
STREAM_SECONDS = 60.0  # the daemon sends something every 15 seconds
OK = 200
ID_LENGTH = 10
ID_BEGINS_MIN = 3  # fewer letters are a slip of the hand
ID_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz234567")


class Unreachable(Exception):
    """The daemon could not be asked."""


class NoDaemon(Unreachable):
    """Nobody listens on the socket."""


class NotAllowed(Unreachable):
    """The socket is for others."""


class Answered(Exception):
    """The daemon declined: the HTTP status, what is wrong and what to do."""

    def __init__(self, status: int, detail: str, remedy: str) -> None:
        super().__init__(f"{detail}; {remedy}")
        self.status = status
        self.detail = detail
        self.remedy = remedy


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        end.settimeout(self.timeout)
        try:
            end.connect(str(self._path))
        except BaseException:
            end.close()
            raise
        self.sock = end


class Client:
    """Asks the daemon that listens on a socket. Answers are the JSON values of the views."""

    def __init__(self, path: Path, timeout: float = SECONDS) -> None:
        self._path = path
        self._timeout = timeout

    def get(self, path: str, **query: object) -> Any:
        """Return what a route answers. Raises Unreachable or Answered."""
        given = {name: value for name, value in query.items() if value is not None}
        text = f"?{urlencode(given, doseq=True)}" if given else ""
        return self._ask("GET", path + text, None)

    def post(self, path: str, body: dict[str, str] | None = None) -> Any:
        """Order something and return what was done. Raises Unreachable or Answered."""
        return self._ask("POST", path, json.dumps(body).encode() if body else b"")

    def status(self) -> Any:
        """Return the whole daemon at a glance."""
        return self.get("/v1/status")

    def sets(self, **query: object) -> Iterator[Any]:
        """Yield sets, newest first, page by page."""
        yield from self._pages("/v1/sets", **query)

    def find(self, wanted: str) -> Any:
        """Return a set by its id, else the newest of that name, else by how its id begins.

        Raises Answered without one, or with several whose ids begin so.
        """
        try:
            return self.get(f"/v1/sets/{quote(wanted, safe='')}")
        except Answered as answered:
            if answered.status != http.client.NOT_FOUND:
                raise
        for found in self.get("/v1/sets", name=wanted, limit=1)["items"]:
            return found
        begins = self.get("/v1/sets", id=wanted, limit=2)["items"] if _may_be_id(wanted) else []
        if len(begins) > 1:
            said = f"several sets have ids that begin with {wanted}"
            raise Answered(404, said, "give more of the id")
        if begins:
            return begins[0]
        raise Answered(404, f"there is no set {wanted!a}", "`orchestrator status` lists them")

    def batches(self, set_id: str) -> Iterator[Any]:
        """Yield the batches of a set."""
        yield from self._pages(f"/v1/sets/{quote(set_id, safe='')}/batches")

    def order(self, verb: str, set_id: str, body: dict[str, str] | None = None) -> Any:
        """Give an order (see `control.Verb`) for a set."""
        return self.post(f"/v1/sets/{quote(set_id, safe='')}:{verb}", body)

    def events(self, after: int | None = None, set_id: str | None = None) -> Iterator[Any]:
        """Yield events as they are committed, until the daemon stops.

        After a break go on with `after` = the id of the last one: nothing is missed.
        """
        given = {"after": after, "set": set_id}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        connection = _Connection(self._path, STREAM_SECONDS)
        try:
            answer = self._send(
                connection, "GET", f"/v1/events?{query}", None, {"Accept": "text/event-stream"}
            )
            yield from self._frames(answer)
        finally:
            connection.close()

    def _pages(self, path: str, **query: object) -> Iterator[Any]:
        after: str | None = None
        while True:
            page = self.get(path, **{"after": after, "limit": 500, **query})
            yield from page["items"]
            after = page["next"]
            if after is None:
                return

    def _frames(self, answer: http.client.HTTPResponse) -> Iterator[Any]:
        while True:
            try:
                line = answer.readline()
            except (OSError, http.client.HTTPException) as error:
                raise self._gone(error) from error
            if not line:
                return
            name, _, data = line.partition(b": ")
            if name == b"data":
                yield json.loads(data)

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        connection = _Connection(self._path, self._timeout)
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            answer = self._send(connection, method, path, body, headers)
            try:
                return json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise self._gone(error) from error
        finally:
            connection.close()

    def _send(
        self,
        connection: _Connection,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> http.client.HTTPResponse:
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            if answer.status == OK:
                return answer
            told = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._gone(error) from error
        raise _declined(answer.status, told)

    def _gone(self, error: Exception) -> Unreachable:
        match error:
            case FileNotFoundError() | ConnectionRefusedError():
                return NoDaemon(
                    f"no daemon is running for {self._path}; start it with `orchestrator run`"
                )
            case PermissionError():
                return NotAllowed(
                    f"may not connect to {self._path}; join the socket's group (see "
                    "service.socket_group) or ask as the daemon's user"
                )
            case TimeoutError():
                return Unreachable(f"the daemon at {self._path} does not answer; see its log")
            case OSError() if "path too long" in str(error):
                return Unreachable(f"{self._path} is too long for a socket; see service.socket")
            case _:
                return Unreachable(
                    f"lost the daemon at {self._path} ({error}); see whether it is still running"
                )


def _may_be_id(wanted: str) -> bool:
    return ID_BEGINS_MIN <= len(wanted) <= ID_LENGTH and ID_LETTERS.issuperset(wanted)


def _declined(status: int, told: bytes) -> Answered:
    try:
        problem = json.loads(told)
        return Answered(status, problem["detail"], problem["remedy"])
    except (ValueError, KeyError, TypeError):
        return Answered(status, f"the daemon answered {status}", "see its log")
