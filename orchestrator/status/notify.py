"""Two ways to tell the outside that something happened: a command and a webhook.

Each is one attempt; the caller keeps the journal and tries again, with the same id, so that a
receiver can tell a repetition. Trouble: whatever goes wrong is a `NotDelivered` whose words carry
neither the secret nor the URL, for URLs of webhooks are secrets too.
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import aiohttp

SECONDS = 30.0
TAIL_BYTES_MAX = 500
PIECES_MAX = 16  # read at once; a command may complain without end
SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a base64 secret


class NotDelivered(Exception):
    """This attempt did not reach anybody who took it; try again later."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told. `id` is the same in every attempt; `body` is JSON."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, and the secret that signs: "whsec_" and base64, or any text; None: not signed."""

    url: str
    secret: str | None

    def __repr__(self) -> str:
        return "Webhook(…)"


async def send_webhook(
    hook: Webhook, message: Message, now: datetime, seconds: float = SECONDS
) -> None:
    """POST a message, signed as Standard Webhooks wants it. Raises NotDelivered.

    Taken means any 2xx; redirects are not followed, for they would carry the body elsewhere.
    """
    headers = {"Content-Type": "application/json", **signature(hook.secret, message, now)}
    timeout = aiohttp.ClientTimeout(total=seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(
                hook.url, data=message.body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            status = answer.status
    except TimeoutError:
        raise NotDelivered(f"the webhook did not answer in {seconds:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Not chained: these errors show the URL.
        raise NotDelivered(f"the webhook cannot be reached ({_kind(error)})") from None
    if not 200 <= status < 300:
        raise NotDelivered(f"the webhook answered {status}")


def signature(secret: str | None, message: Message, now: datetime) -> dict[str, str]:
    """Return the headers `webhook-id`, `webhook-timestamp` and, with a secret, the signature."""
    stamp = str(int(now.timestamp()))
    headers = {"webhook-id": message.id, "webhook-timestamp": stamp}
    if secret is None:
        return headers
    signed = f"{message.id}.{stamp}.".encode() + message.body
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {**headers, "webhook-signature": "v1," + base64.b64encode(digest).decode()}


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(SECRET_PREFIX)
    if encoded != secret:
        with suppress(binascii.Error):
            return base64.b64decode(encoded, validate=True)
    return secret.encode()


def _kind(error: Exception) -> str:
    code = getattr(error, "errno", None)
    return os.strerror(code) if isinstance(code, int) and code > 0 else type(error).__name__


async def run_command(
    argv: Sequence[str], message: Message, env: Mapping[str, str], seconds: float = SECONDS
) -> None:
    """Run a command with the message on its standard input, without a shell. Raises NotDelivered.

    `env` is its whole environment; ORCHESTRATOR_NOTICE holds the message's id. After `seconds`
    it is killed with everything that it has started. Taken means exit code 0.
    """
    with _Complaint() as complaint:
        process = await _start(argv, {**env, "ORCHESTRATOR_NOTICE": message.id}, complaint)
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                feeding = group.create_task(_feed(process, message.body))
                await process.wait()
                feeding.cancel()
        except TimeoutError as error:
            words = f"{argv[0]!a} did not end in {seconds:g} s and was killed"
            raise NotDelivered(words) from error
        finally:
            await _end(process)
        if process.returncode != 0:
            raise NotDelivered(f"{argv[0]!a} exited with {process.returncode}: {complaint.words}")


async def _start(
    argv: Sequence[str], env: Mapping[str, str], complaint: "_Complaint"
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=complaint.sink,
            env=env,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NotDelivered(
            f"cannot start {argv[0]!a} ({_kind(error)}); correct notify.command"
        ) from error
    finally:
        complaint.begin()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _feed(process: asyncio.subprocess.Process, body: bytes) -> None:
    assert process.stdin is not None
    with suppress(ConnectionError):  # a command need not read
        process.stdin.write(body)
        await process.stdin.drain()
    process.stdin.close()


class _Complaint:
    """The end of what a command writes to its standard error, however much that is.

    A pipe of our own, so that it can be closed although something that the command left in the
    background still holds the other end.
    """

    def __init__(self) -> None:
        self._source, self.sink = os.pipe()
        os.set_blocking(self._source, False)
        self._tail = bytearray()

    def begin(self) -> None:
        """Read from now on; the command has its own copy of the sink, or will never have one."""
        os.close(self.sink)
        asyncio.get_running_loop().add_reader(self._source, self._take)

    @property
    def words(self) -> str:
        """What was complained about up to now, with control characters made harmless."""
        self._take()
        return ascii(self._tail.decode("utf-8", "replace").strip())[1:-1]

    def _take(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(PIECES_MAX):
                piece = os.read(self._source, 65536)
                if not piece:
                    asyncio.get_running_loop().remove_reader(self._source)
                    return
                self._tail += piece
                del self._tail[:-TAIL_BYTES_MAX]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._source)
        os.close(self._source)
