"""Fetching the answers of an ended job: a result file, resumed where the server can, or inline.

The key goes home only: a redirect to another host is refused unless the operator allows it, and
is then followed without the key.

Trouble: a cut, a stall or nonsense is Unavailable, with what came so far left in the sink; that
there is no such output (now) is Refused. What the sink raises (a full disk) passes untouched.
"""

import re
from collections.abc import Mapping

from yarl import URL

from orchestrator.domain.ids import FileName, JobName
from orchestrator.gemini import wire
from orchestrator.gemini.bodies import Collect, TooMuch
from orchestrator.gemini.errors import (
    Answer,
    Failure,
    Phase,
    call_trouble,
    is_blocked,
    is_html,
    refused,
)
from orchestrator.gemini.items import InlineItems, NotJson, wire_line
from orchestrator.gemini.transport import Request, Transport
from orchestrator.ports import Refused, Sink, Unavailable

ROUNDS_MAX = 8  # redirects and new starts in one download
REDIRECTS = frozenset({301, 302, 303, 307, 308})
NO_OUTPUT = frozenset({400, 403, 404, 410})
CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class FileReceiver:
    """Appends a result file to the sink, from where it ends if the server can do that.

    `misfit` tells that the server sent another part than was asked for; `total` is the size of
    the whole file where the server told it.
    """

    def __init__(self, sink: Sink, bytes_max: int, error_bytes_max: int, *, ranged: bool) -> None:
        self.misfit = False
        self.error = Collect(error_bytes_max)
        self.total: int | None = None
        self._sink = sink
        self._ranged = ranged
        self._bytes_max = bytes_max
        self._ok = False

    def start(self, status: int, headers: Mapping[str, str]) -> bool:
        """Decide where the bytes go."""
        self._ok = status in {200, 206} and not is_html(headers)
        if status == 206:
            found = CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
            plain = headers.get("content-encoding", "identity") == "identity"
            fits = found is not None and int(found[1]) == self._sink.size
            self.misfit = not (self._ranged and plain and fits)
            if found and found[3] != "*":
                self.total = int(found[3])
        elif self._ok and self._sink.size:
            self._sink.restart()
        return not self.misfit

    def feed(self, piece: bytes) -> bool:
        """Append a piece, or keep it as the server's reason."""
        if not self._ok:
            return self.error.feed(piece)
        if self._sink.size + len(piece) > self._bytes_max:
            raise TooMuch(f"answers of more than {self._bytes_max} bytes")
        self._sink.append(piece)
        return True


class InlineReceiver:
    """Writes the items of an inline answer into the sink, as the lines of a result file."""

    def __init__(
        self, sink: Sink, bytes_max: int, item_bytes_max: int, rest_bytes_max: int
    ) -> None:
        self.items = InlineItems(item_bytes_max, rest_bytes_max)
        self.error = Collect(rest_bytes_max)
        self.whole = False
        self._sink = sink
        self._bytes_max = bytes_max
        self._ok = False
        self._list: int | None = None  # the first list that has items; the next is its copy

    def start(self, status: int, headers: Mapping[str, str]) -> bool:
        """Begin anew: an inline answer cannot be resumed."""
        self._ok = status == 200
        if self._ok and self._sink.size:
            self._sink.restart()
        return True

    def feed(self, piece: bytes) -> bool:
        """Write the items that are complete with this piece; stop after their list."""
        if not self._ok:
            return self.error.feed(piece)
        try:
            lines = [wire_line(item) for item in self.items.feed(piece) if self._is_first()]
        except NotJson:
            return False
        content = b"".join(lines)
        if self._sink.size + len(content) > self._bytes_max:
            raise TooMuch(f"answers of more than {self._bytes_max} bytes")
        if content:
            self._sink.append(content)
        self.whole = self._list is not None and self.items.lists > self._list
        return not self.whole

    def _is_first(self) -> bool:
        if self._list is None:
            self._list = self.items.lists
        return self.items.lists == self._list


class Download:
    """Both ways to a job's answers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._service = transport.service

    async def file(self, name: FileName, sink: Sink) -> None:
        """Append the rest of a result file, by the door that knows it."""
        first, second = self._service.download_urls(name)
        outcome = await self._fetch(first, sink)
        if isinstance(outcome, Answer) and outcome.status == 404:
            outcome = await self._fetch(second, sink)
        _settle(outcome)

    async def inline(self, job: JobName, sink: Sink) -> None:
        """Write the inline answers of a job anew."""
        service = self._service
        receiver = InlineReceiver(
            sink, service.download_bytes_max, service.item_bytes_max, service.answer_bytes_max
        )
        outcome = await self._transport.exchange(self._request(service.url(job)), receiver)
        if receiver.whole:
            return
        if isinstance(outcome, Failure) or not outcome.ok:
            _settle(_with_body(outcome, self._transport.hide(bytes(receiver.error.body))))
        if not receiver.items.ended:
            raise call_trouble("download", Failure(Phase.BODY, "an end too soon"))
        if receiver.items.lists:
            return  # a list without an item: the service left every answer out, for good
        seen = wire.job(wire.decode(bytes(receiver.items.around)))
        if seen is None or seen.output is None:
            raise Refused(404, "NOT_FOUND", f"{job} has no answers in it")
        await self.file(seen.output, sink)

    async def _fetch(self, url: URL, sink: Sink) -> Answer | Failure:
        ranged = True
        for _ in range(ROUNDS_MAX):
            ranged = ranged and sink.size > 0
            receiver = FileReceiver(
                sink,
                self._service.download_bytes_max,
                self._service.answer_bytes_max,
                ranged=ranged,
            )
            range_ = {"Range": f"bytes={sink.size}-"} if ranged else {}
            outcome = await self._transport.exchange(self._request(url, range_), receiver)
            if isinstance(outcome, Failure):
                return outcome
            if outcome.status in REDIRECTS and "location" in outcome.headers:
                url = self._redirected(url, outcome.headers["location"])
            elif ranged and (receiver.misfit or outcome.status == 416):
                sink.restart()
                ranged = False
            else:
                return self._judged(outcome, receiver, sink)
        return Failure(Phase.BODY, f"no content after {ROUNDS_MAX} redirects and new starts")

    def _judged(self, answer: Answer, receiver: FileReceiver, sink: Sink) -> Answer | Failure:
        if receiver.misfit:
            return Failure(Phase.BODY, "a part that was not asked for")
        if answer.ok and (answer.status not in {200, 206} or is_html(answer.headers)):
            return Failure(Phase.BODY, "an answer that is no result file")
        if answer.ok and receiver.total is not None and receiver.total != sink.size:
            return Failure(Phase.BODY, "an end too soon")
        return _with_body(answer, self._transport.hide(bytes(receiver.error.body)))

    def _redirected(self, url: URL, location: str) -> URL:
        target = self._service.sent_to(location, url)
        if target is None:
            raise Unavailable(
                "download: the service sends us to another address than its own; not followed"
            )
        return target

    def _request(self, url: URL, headers: Mapping[str, str] | None = None) -> Request:
        return Request(
            name="download",
            method="GET",
            url=url,
            limit=self._service.stall_timeout,
            headers=headers or {},
            keyed=self._service.is_home(url),
            lasting=True,
        )


def _with_body(outcome: Answer | Failure, body: bytes) -> Answer | Failure:
    if isinstance(outcome, Failure):
        return outcome
    return Answer(outcome.status, outcome.headers, body)


def _settle(outcome: Answer | Failure) -> None:
    """Return if all came; raise Refused if the service itself says no, else Unavailable."""
    if isinstance(outcome, Answer):
        if outcome.ok:
            return
        its_own = not is_html(outcome.headers) and not is_blocked(outcome)
        if outcome.status in NO_OUTPUT and its_own:
            raise refused("download", outcome)
    raise call_trouble("download", outcome, names_file=True)
