import asyncio
import base64
import hashlib
import hmac
import os
import signal
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from orchestrator.status.notify import (
    Message,
    NotDelivered,
    Webhook,
    run_command,
    send_webhook,
    signature,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE = Message("msg_17", b'{"type":"set.delivered","data":{"name":"\xc3\xa4"}}')
ENV = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@pytest.fixture
async def receiver():
    """A real server that keeps what it is sent and answers with `status`."""
    got: list[tuple[dict[str, str], bytes]] = []
    says = {"status": 204}

    async def take(request):
        got.append((dict(request.headers), await request.read()))
        if says["status"] == 0:
            await asyncio.Event().wait()
        return web.Response(status=says["status"], headers={"Location": "/elsewhere"})

    application = web.Application()
    application.router.add_post("/{any:.*}", take)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield got, says, f"http://127.0.0.1:{port}/hook/canary-url"
    await runner.cleanup()


async def test_a_webhook_is_signed_over_its_id_its_time_and_its_bytes(receiver):
    """The receiver can check with the shared secret that the message is ours and whole."""
    got, _, url = receiver
    secret = "whsec_" + base64.b64encode(b"k" * 24).decode()

    await send_webhook(Webhook(url, secret), MESSAGE, NOW)

    ((headers, body),) = got
    stamp = headers["webhook-timestamp"]
    expected = hmac.new(b"k" * 24, f"msg_17.{stamp}.".encode() + body, hashlib.sha256).digest()
    assert headers["webhook-id"] == "msg_17"
    assert stamp == str(int(NOW.timestamp()))
    assert headers["webhook-signature"] == "v1," + base64.b64encode(expected).decode()
    assert body == MESSAGE.body


def test_the_signature_is_that_of_the_published_example():
    """The example of the Standard Webhooks specification comes out as printed there."""
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    headers = signature(secret, message, datetime.fromtimestamp(1614265330, UTC))

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_of_any_text_signs_too():
    """Without a secret nothing is signed; a secret that is no base64 is taken as it is."""
    assert "webhook-signature" not in signature(None, MESSAGE, NOW)
    assert signature("hello", MESSAGE, NOW) != signature("whsec_!!", MESSAGE, NOW)


@pytest.mark.parametrize("status", [301, 307, 400, 410, 429, 500, 503])
async def test_what_is_not_taken_is_to_be_sent_again(receiver, status):
    """Every answer but a 2xx is a failed attempt; a redirect is not followed."""
    got, says, url = receiver
    says["status"] = status

    with pytest.raises(NotDelivered, match=f"the webhook answered {status}"):
        await send_webhook(Webhook(url, None), MESSAGE, NOW)

    assert len(got) == 1


async def test_neither_the_secret_nor_the_url_is_in_an_error(receiver):
    """Whatever fails, the words and what they are chained to show no secret."""
    _, says, url = receiver
    says["status"] = 0
    told = []
    for target in (url, "http://127.0.0.1:1/canary-url", "http://[canary-url", "canary-url:x"):
        hook = Webhook(target, "canary-secret")
        with pytest.raises(NotDelivered) as caught:
            await send_webhook(hook, MESSAGE, NOW, seconds=0.2)
        error = caught.value
        told += [str(error), repr(error), repr(hook), repr(error.__cause__)]
        assert error.__suppress_context__

    assert not [words for words in told if "canary" in words]


async def test_a_webhook_whose_certificate_nobody_vouches_for_gets_nothing():
    """TLS is verified: an unknown authority is a failed attempt and sees no message."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    seen = []

    async def take(reader, writer):
        seen.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotDelivered, match="cannot be reached"):
            await send_webhook(Webhook(f"https://127.0.0.1:{port}/", None), MESSAGE, NOW)

    assert not seen


def script(folder: Path, text: str) -> list[str]:
    path = folder / "told.py"
    path.write_text(text)
    return [sys.executable, str(path)]


async def test_a_command_gets_the_message_and_nothing_of_our_environment(tmp_path, monkeypatch):
    """The message is its standard input, its id a variable, its arguments go through no shell."""
    monkeypatch.setenv("GEMINI_API_KEY", "canary")
    argv = script(
        tmp_path,
        "import os, sys; open(sys.argv[2], 'wb').write(sys.stdin.buffer.read())\n"
        "open(sys.argv[2] + '.env', 'w').write(repr(sorted(os.environ)) + sys.argv[1])",
    )

    await run_command([*argv, "$(touch x); *", str(tmp_path / "out")], MESSAGE, ENV)

    assert (tmp_path / "out").read_bytes() == MESSAGE.body
    told = (tmp_path / "out.env").read_text()
    assert "ORCHESTRATOR_NOTICE" in told
    assert "GEMINI_API_KEY" not in told
    assert told.endswith("$(touch x); *")


async def test_a_command_that_fails_says_why(tmp_path):
    """The exit code and the end of its complaint are kept, control characters made harmless."""
    argv = script(
        tmp_path,
        "import sys; sys.stderr.write('x' * 10_000_000 + '\\x1b[31m no such channel\\n'); exit(3)",
    )

    with pytest.raises(NotDelivered, match=r"exited with 3: x+\\x1b\[31m no such channel$") as told:
        await run_command(argv, MESSAGE, ENV)

    assert len(str(told.value)) < 700


async def test_a_command_that_cannot_be_started_is_said():
    """A missing command names itself and the setting."""
    with pytest.raises(NotDelivered, match=r"'/no/such' \(No such file.*correct notify.command"):
        await run_command(["/no/such"], MESSAGE, ENV)


async def test_a_command_need_not_read_its_input():
    """A command that ends without reading was told all the same."""
    await run_command(["/bin/true"], Message("m", b"x" * 10_000_000), ENV)


async def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path):
    """After its time the whole group is gone, even what ignores signals."""
    argv = script(
        tmp_path,
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "os.rename(sys.argv[0], sys.argv[0] + '.ready'); time.sleep(1000)",
    )

    with pytest.raises(NotDelivered, match="did not end in 2 s and was killed"):
        await run_command(argv, MESSAGE, ENV, seconds=2)

    await ended(int((tmp_path / "pid").read_text()))


async def test_what_a_command_leaves_in_the_background_is_not_waited_for(tmp_path):
    """A command may start something lasting; it is done when it has itself ended."""
    argv = script(
        tmp_path,
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))",
    )

    await run_command(argv, MESSAGE, ENV, seconds=20)

    child = int((tmp_path / "pid").read_text())
    assert running(child)
    os.kill(child, signal.SIGKILL)


async def test_a_cancelled_command_is_killed(tmp_path):
    """When the daemon stops, a command that is still running does not outlive it."""
    argv = script(tmp_path, f"import os, time; os.mkfifo({str(tmp_path / 'f')!r}); time.sleep(999)")
    task = asyncio.ensure_future(run_command([*argv], MESSAGE, ENV))
    async with asyncio.timeout(20):
        while not (tmp_path / "f").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert not [pid for pid in processes() if str(tmp_path) in pid]


async def ended(pid: int) -> None:
    """Wait until a killed process is gone: the kernel takes a moment after the signal."""
    async with asyncio.timeout(20):
        while running(pid):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)


def running(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and not yet waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def processes() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return found
