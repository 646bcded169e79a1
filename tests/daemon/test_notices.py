"""Whoever is to be told is told; who could not be is in the log, and keeps nobody else from it."""

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from orchestrator.daemon.notices import Senders
from orchestrator.ports import Unavailable
from orchestrator.status.notify import Webhook
from tests.simulation.clock import SimClock


async def test_one_that_fails_is_logged_and_the_other_is_told(tmp_path: Path):
    """A webhook that cannot be reached is named with its reason; the command has run as well."""
    seen = tmp_path / "seen"
    program = f"import sys; open({str(seen)!r}, 'w').write(sys.stdin.read())"
    counted: list[tuple[str, str]] = []
    senders = Senders(
        command=(sys.executable, "-c", program),
        command_timeout=timedelta(seconds=60),
        webhook=Webhook("http://127.0.0.1:1/hook", None),
        clock=SimClock(asyncio.get_running_loop()),
        told=lambda channel, result: counted.append((channel, result)),
    )

    with capture_logs() as logged, pytest.raises(Unavailable, match=r"^webhook: "):
        await senders.send(7, "delivered", '{"set": "letters"}')

    assert seen.read_text() == '{"set": "letters"}'
    assert sorted(counted) == [("command", "sent"), ("webhook", "failed")]
    by_channel = {one["to"]: one for one in logged}
    assert counted_as(by_channel) == {"command": "notice.sent", "webhook": "notice.failed"}
    assert by_channel["webhook"]["why"]
    assert {(one["notice"], one["set"]) for one in logged} == {("notice-7", "letters")}


def counted_as(by_channel: dict[str, Any]) -> dict[str, str]:
    return {channel: one["event"] for channel, one in by_channel.items()}


async def test_who_took_a_notice_does_not_get_it_again(tmp_path: Path):
    """While the webhook is down the command runs once; what fails is shown until it is taken."""
    seen, shown = tmp_path / "seen", dict[str, str | None]()
    program = f"open({str(seen)!r}, 'a').write('x')"
    senders = Senders(
        command=(sys.executable, "-c", program),
        command_timeout=timedelta(seconds=60),
        webhook=Webhook("http://127.0.0.1:1/hook", None),
        clock=SimClock(asyncio.get_running_loop()),
        troubled=lambda _kind, channel, why: shown.update({channel: why}),
    )

    for _ in range(3):
        with pytest.raises(Unavailable, match=r"^webhook: "):
            await senders.send(7, "delivered", "{}")
    assert seen.read_text() == "x"
    assert shown["command"] is None
    assert shown["webhook"]

    with pytest.raises(Unavailable):
        await senders.send(8, "delivered", "{}")
    assert seen.read_text() == "xx"


async def test_a_command_that_hangs_does_not_delay_the_webhook(tmp_path: Path):
    """Both are told at once: the command ends only when the webhook has been."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def hook(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.to_thread(pipe.write_text, "told")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hook, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        senders = Senders(
            command=(sys.executable, "-c", f"open({str(pipe)!r}).read()"),
            command_timeout=timedelta(seconds=60),
            webhook=Webhook(f"http://127.0.0.1:{port}/", None),
            clock=SimClock(asyncio.get_running_loop()),
        )
        await senders.send(1, "held", "{}")


async def test_a_command_that_fails_keeps_nothing_from_the_webhook():
    """Both are tried, and both reasons are in what the notice waits with."""
    senders = Senders(
        command=("/no/such/command",),
        command_timeout=timedelta(seconds=60),
        webhook=Webhook("http://127.0.0.1:1/hook", None),
        clock=SimClock(asyncio.get_running_loop()),
        told=lambda _channel, _result: None,
    )

    with capture_logs() as logged, pytest.raises(Unavailable, match=r"^command: .*; webhook: "):
        await senders.send(8, "held", "{}")

    assert sorted((one["event"], one["to"]) for one in logged) == [
        ("notice.failed", "command"),
        ("notice.failed", "webhook"),
    ]
