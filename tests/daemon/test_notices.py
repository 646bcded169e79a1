"""Whoever is to be told is told; who could not be is in the log, and keeps nobody else from it."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

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
    assert counted == [("command", "sent"), ("webhook", "failed")]
    assert [(one["event"], one["to"], one["log_level"]) for one in logged] == [
        ("notice.sent", "command", "info"),
        ("notice.failed", "webhook", "warning"),
    ]
    assert logged[1]["why"]


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

    assert [(one["event"], one["to"]) for one in logged] == [
        ("notice.failed", "command"),
        ("notice.failed", "webhook"),
    ]
