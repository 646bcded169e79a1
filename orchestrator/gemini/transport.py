"""One call over HTTP: sent at most once, bounded in time and bytes, its failure named by phase.

Trouble: every error of the network, of TLS and of HTTP becomes a `Failure` value here, outside
any `except` block, so that no foreign exception (which may show headers and URLs) hangs on to
what the callers raise. Errors of a receiver (a full disk under a download) pass untouched.
"""

import errno
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self, TypeAlias

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from orchestrator.gemini.bodies import Collect, Feed, Progress, Receiver, TooMuch, decoder
from orchestrator.gemini.errors import NEW_KEY, Answer, Failure, Phase, server_time
from orchestrator.gemini.service import MEBIBYTE, Service
from orchestrator.ports import Blocked, Clock

Observe: TypeAlias = Callable[[str, int | str, float], None]

KEY_HEADER = "x-goog-api-key"
SECRET_CHARACTERS_MIN = 12  # shorter ones are not looked for in answers: they would hit by chance

# Raised before a connection stands, so not one byte of the request has left. They come first:
# some of them are subclasses of errors that may also come later.
NOT_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.InvalidURL,
)
NETWORK_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)


@dataclass(frozen=True, slots=True)
class Pool:
    """What a connector is for: creates take a new connection each, all else shares some."""

    fresh: bool
    connections_max: int  # 0: the caller bounds them


Connectors: TypeAlias = Callable[[Pool], aiohttp.BaseConnector]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call: `name` is for people and metrics; `lasting` makes it a transfer.

    `limit` bounds a short call as a whole, and a transfer's time without progress.
    `secrets` are blotted out of the answer, as the key always is.
    """

    name: str
    method: str
    url: URL
    limit: timedelta
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Feed | None = None
    keyed: bool = True
    fresh: bool = False
    lasting: bool = False
    secrets: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"Request({self.name})"  # the URL of an upload is a secret


class Transport:
    """The connections to the service. Enter it inside a running loop.

    `key` is asked before each call, so that a new key works at once. `skew` is how far the
    service's clock was ahead of ours when it last told its time.
    """

    def __init__(
        self,
        service: Service,
        key: Callable[[], str],
        clock: Clock,
        connectors: Connectors | None = None,
        observe: Observe | None = None,
    ) -> None:
        self.service = service
        self.skew: timedelta | None = None
        self._key = key
        self._clock = clock
        self._connectors = connectors or tcp
        self._observe = observe or unobserved
        self._fresh: aiohttp.ClientSession | None = None
        self._shared: aiohttp.ClientSession | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        fresh = Pool(fresh=True, connections_max=0)
        shared = Pool(fresh=False, connections_max=self.service.connections_max)
        self._fresh = await self._open.enter_async_context(self._session(fresh))
        self._shared = await self._open.enter_async_context(self._session(shared))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def account_key(self) -> str:
        """Return the present key to tell accounts apart by; "" if there is none."""
        return self._key().strip()

    def key(self) -> str:
        """Return the present key. Raises Blocked when there is none that could be sent."""
        key = self.account_key()
        if not key:
            raise Blocked("there is no API key", NEW_KEY, about_key=True)
        if not (key.isascii() and key.isprintable()) or " " in key:
            why = "the API key has characters that cannot be sent"
            raise Blocked(why, NEW_KEY, about_key=True)
        return key

    async def call(self, request: Request) -> Answer | Failure:
        """Make a short call and keep its answer. Raises Blocked without a key to send."""
        kept = Collect(self.service.answer_bytes_max)
        outcome = await self.exchange(request, kept)
        if isinstance(outcome, Failure):
            return outcome
        body = self.hide(bytes(kept.body), *request.secrets)
        return Answer(outcome.status, outcome.headers, body)

    def hide(self, body: bytes, *secrets: str) -> bytes:
        """Take the key and other secrets out of the service's words, should it repeat them."""
        for secret in (*secrets, self.account_key()):
            if len(secret) >= SECRET_CHARACTERS_MIN:
                body = body.replace(secret.encode(), b"[secret]")
        return body

    async def exchange(self, request: Request, receiver: Receiver) -> Answer | Failure:
        """Send `request` once and pass what comes to `receiver`; the answer has no body."""
        headers = {**request.headers, "Accept-Encoding": "identity"}
        if request.keyed:
            headers[KEY_HEADER] = self.key()
        started = self._clock.elapsed()
        outcome = await self._bounded(request, headers, receiver)
        seen = outcome.status if isinstance(outcome, Answer) else outcome.words
        self._observe(request.name, seen, self._clock.elapsed() - started)
        return outcome

    async def _bounded(
        self, request: Request, headers: dict[str, str], receiver: Receiver
    ) -> Answer | Failure:
        bytes_min = self.service.stall_bytes_min if request.lasting else None
        progress = Progress(request.limit, bytes_min)
        phase = Phase.ANSWER
        try:
            async with progress.deadline:
                response = await self._send(request, headers, progress)
                if isinstance(response, Failure):
                    return response
                phase = Phase.BODY
                try:
                    return await self._receive(response, receiver, progress)
                finally:
                    response.close()
        except TimeoutError:
            if not progress.deadline.expired():
                raise
        finally:
            progress.over = True
        return Failure(phase, str(progress))

    async def _send(
        self, request: Request, headers: dict[str, str], progress: Progress
    ) -> aiohttp.ClientResponse | Failure:
        session = self._fresh if request.fresh else self._shared
        assert session is not None, "enter the transport first"
        data: bytes | AsyncIterator[bytes] | None
        if isinstance(request.body, Feed):
            headers["Content-Length"] = str(request.body.size)
            data = request.body.read(progress.moved)
        else:
            data = request.body
        try:
            return await session.request(
                request.method, request.url, headers=headers, data=data, allow_redirects=False
            )
        except NOT_SENT as error:
            phase, words = Phase.CONNECT, name_of(error)
        except NETWORK_ERRORS as error:
            phase, words = Phase.ANSWER, name_of(error)
        return Failure(phase, words)

    async def _receive(
        self, response: aiohttp.ClientResponse, receiver: Receiver, progress: Progress
    ) -> Answer | Failure:
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._note_time(headers)
        decode = decoder(headers.get("content-encoding", ""))
        if decode is None:
            return Failure(Phase.BODY, "an encoding that was not asked for")
        going_on = receiver.start(response.status, headers)
        while going_on and (piece := await next_piece(response)):
            if isinstance(piece, Failure):
                return piece
            progress.moved(len(piece))
            try:
                going_on = all(receiver.feed(part) for part in decode(piece))
            except TooMuch as error:
                return Failure(Phase.BODY, str(error))
        return Answer(response.status, headers)

    def _note_time(self, headers: Mapping[str, str]) -> None:
        told = server_time(headers)
        if told is not None:
            self.skew = told - self._clock.now()

    def _session(self, pool: Pool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connectors(pool),
            timeout=aiohttp.ClientTimeout(
                total=None, connect=self.service.connect_timeout.total_seconds()
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=MEBIBYTE,
            max_line_size=self.service.header_bytes_max,
            max_field_size=self.service.header_bytes_max,
        )


async def next_piece(response: aiohttp.ClientResponse) -> bytes | Failure:
    """Return the next bytes of an answer, b"" at its end, or how it broke off."""
    try:
        return await response.content.readany()
    except NETWORK_ERRORS as error:
        words = name_of(error)
    return Failure(Phase.BODY, words)


def tcp(pool: Pool) -> aiohttp.BaseConnector:
    """Connect over TCP, and TLS verified against the system's authorities for https."""
    return aiohttp.TCPConnector(force_close=pool.fresh, limit=pool.connections_max)


def unobserved(call: str, outcome: int | str, seconds: float) -> None:
    """Let a call pass."""


def name_of(error: Exception) -> str:
    """Name a foreign error without quoting it: its own text may hold headers and URLs."""
    number = error.errno if isinstance(error, OSError) else None
    symbol = errno.errorcode.get(number) if number is not None else None
    return f"{type(error).__name__} {symbol}" if symbol else type(error).__name__
