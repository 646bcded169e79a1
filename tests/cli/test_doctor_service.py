"""`doctor` finds what is wrong with the key, the account and the service."""

import asyncio
import http.server
import json
import os
import threading
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from orchestrator.cli.doctor_quota import _tokens
from orchestrator.cli.doctor_service import _clock, service_checks
from orchestrator.config.settings import load
from orchestrator.daemon.surroundings import migrations
from orchestrator.emulator import Emulator, EmulatorSettings, Fault, create_app
from orchestrator.store.database import Database
from orchestrator.store.transitions import apply
from tests.cli.findings import one
from tests.store import values


def test_a_missing_key_is_found(found):
    """Without a key nothing can be asked; the remedy names where to put one."""
    assert "GEMINI_API_KEY" in one(found(), "key", "fail")["remedy"]


def test_a_key_that_only_the_unit_gives_is_no_failure(home):
    """The credential of an installed unit is not in a shell; the doctor says how to use it."""
    (home / "gemini_api_key").write_text("x")

    (finding,) = service_checks(load(None), home)

    assert finding.verdict == "skip"
    assert f"CREDENTIALS_DIRECTORY={home} orchestrator doctor" in finding.said


def post(url, body, **headers):
    """Send a body to the emulator; return the headers and the text of the answer."""
    known = {"x-goog-api-key": "a-good-key", "content-type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=known | headers)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, answer.read()


def create_job(base):
    """Create an inline job, as another program of the account would."""
    request = {"request": {"contents": [{"parts": [{"text": "hi"}]}]}}
    batch = {"display_name": "x", "input_config": {"requests": {"requests": [request]}}}
    body = json.dumps({"batch": batch}).encode()
    post(f"{base}/v1beta/models/gemini-2.5-flash:batchGenerateContent", body)


def upload(base, content):
    """Upload a file, as another program of the account would."""
    started, _ = post(
        f"{base}/upload/v1beta/files", b"{}",
        **{
            "X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start",
            "X-Goog-Upload-Header-Content-Length": str(len(content)),
            "X-Goog-Upload-Header-Content-Type": "application/jsonl",
        },
    )  # fmt: skip
    how = {"X-Goog-Upload-Offset": "0", "X-Goog-Upload-Command": "upload, finalize"}
    post(started["X-Goog-Upload-URL"], content, **how)


@contextmanager
def serving(state_dir, faults=(), **settings):
    """Run the emulator in a thread; yield its address and itself."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    box: dict[str, Any] = {}

    async def serve():
        provider = Emulator(
            EmulatorSettings(**settings), clock=lambda: datetime.now(UTC), state_dir=state_dir
        )
        provider.faults.add(faults)
        runner = web.AppRunner(create_app(provider))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        box["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
        box["stop"] = asyncio.Event()
        started.set()
        await box["stop"].wait()
        await runner.cleanup()
        provider.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(20)
    try:
        yield box["url"]
    finally:
        loop.call_soon_threadsafe(box["stop"].set)
        thread.join()
        loop.close()


@pytest.fixture
def emulated(home, monkeypatch):
    """Return a function that runs the emulator and points the settings to it."""
    monkeypatch.setenv("GEMINI_API_KEY", "a-good-key")

    @contextmanager
    def run(**settings):
        with serving(home / "emulator", **settings) as url:
            monkeypatch.setenv("ORCHESTRATOR_GEMINI__BASE_URL", url)
            yield

    return run


def test_a_good_key_and_model_are_said_to_be(found, emulated, monkeypatch):
    """Against a service that takes the key and knows the model, all is ok."""
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", "gemini-2.5-flash")

    with emulated():
        findings = found()

    one(findings, "service", "ok")
    one(findings, "clock", "ok")
    one(findings, "quota jobs", "ok")
    one(findings, "quota storage", "ok")
    assert "0 of 3.0M of gemini-2.5-flash" in one(findings, "quota tokens", "ok")["said"]
    one(findings, "model of profiles.default", "ok")


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("gemini-9", "generate", "does not know gemini-9"),
        ("imagen-4.0-generate-001", "generate", "has no batchGenerateContent"),
        ("gemini-2.5-flash", "embed", "has no asyncBatchEmbedContent"),
    ],
)
def test_a_wrong_model_is_found(found, emulated, monkeypatch, model, kind, said):
    """A model that the service does not know, or that does no such batches."""
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", model)
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__KIND", kind)

    with emulated():
        finding = one(found(), "model of profiles.default", "fail")

    assert said in finding["said"]


def test_a_refused_key_is_found(found, emulated):
    """A key that the service refuses is said, with what to do, and not shown."""
    with emulated(api_keys={"another-key": "project"}):
        findings = found()

    finding = one(findings, "service", "fail")
    assert "key" in finding["said"].lower()
    assert "a-good-key" not in json.dumps(findings)


def test_a_service_that_is_not_there_is_found(found, monkeypatch):
    """A wrong address or no network is said with both as remedies."""
    monkeypatch.setenv("GEMINI_API_KEY", "a-good-key")
    monkeypatch.setenv("ORCHESTRATOR_GEMINI__BASE_URL", "http://127.0.0.1:9")

    assert "base_url" in one(found(), "service", "fail")["remedy"]


@contextmanager
def portal(page):
    """Run a server that answers whatever it is asked with the same page; yield its address."""

    class Portal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_said):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_portal_that_answers_in_place_of_the_service_is_found(found, monkeypatch):
    """A page with status 200 is no sign that the key is taken; nothing else is asked then."""
    monkeypatch.setenv("GEMINI_API_KEY", "a-good-key")
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", "gemini-2.5-flash")

    with portal(b"<html>Please log in</html>") as url:
        monkeypatch.setenv("ORCHESTRATOR_GEMINI__BASE_URL", url)
        findings = found()

    finding = one(findings, "service", "fail")
    assert f"{url}: the job list is no answer of the API" in finding["said"]
    assert "proxy" in finding["remedy"]
    assert findings[-1] == finding


def test_a_model_that_is_answered_for_by_a_portal_is_found(found, monkeypatch):
    """What is no description of a model is not to be tried again but to be looked into."""
    monkeypatch.setenv("GEMINI_API_KEY", "a-good-key")
    monkeypatch.setenv("ORCHESTRATOR_PROFILES__DEFAULT__MODEL", "gemini-2.5-flash")

    with portal(b"{}") as url:  # which is an empty job list, and no model
        monkeypatch.setenv("ORCHESTRATOR_GEMINI__BASE_URL", url)
        findings = found()

    assert "proxy" in one(findings, "model of profiles.default", "fail")["remedy"]


def test_jobs_of_anybody_that_fill_the_account_are_found(found, emulated, monkeypatch):
    """Where as many jobs are active as may be, nothing new starts."""
    monkeypatch.setenv("ORCHESTRATOR_LIMITS__MAX_ACTIVE_JOBS", "1")

    with emulated(pending_seconds=3600.0):
        create_job(os.environ["ORCHESTRATOR_GEMINI__BASE_URL"])
        finding = one(found(), "quota jobs", "warn")

    assert finding["said"] == "1 of 1 jobs are active"


def test_enqueued_tokens_that_are_used_up_are_found(found, emulated, daemon, shown):
    """What the running daemon has enqueued is compared with what the tier allows the model."""
    a_project = dict.fromkeys(("reason", "remedy", "since")) | {
        "name": "default", "blocked": False, "active_jobs": 1, "active_jobs_max": 100,
        "enqueued_tokens": {"gemini-2.5-flash": 2_950_000},
    }  # fmt: skip
    daemon.status = shown.a_status(projects=[a_project])

    with emulated():
        finding = one(found(), "quota tokens", "warn")

    assert finding["said"] == "about 3.0M of 3.0M of gemini-2.5-flash are enqueued"
    assert "limits.tier (now 1)" in finding["remedy"]


def test_enqueued_tokens_are_read_from_the_ledger_when_no_daemon_runs(home):
    """Without a daemon the ledger tells what is enqueued; it is not touched by that."""
    ledger, batch = home / "s" / "orchestrator.db", values.planned(tokens=2_999_999)

    async def begin():
        url = f"sqlite+aiosqlite:///{ledger}"
        database = await Database.open(url, migrations=migrations(), now=values.NOW)
        await database.transact(values.start, values.set_info(), batch)
        await database.transact(apply, values.NOW, *values.path_to_collected(batch)[:2])
        await database.close()

    asyncio.run(begin())
    before = ledger.read_bytes()

    (finding,) = _tokens(load(None))

    assert ledger.read_bytes() == before
    assert (finding.verdict, finding.check) == ("warn", "quota tokens")


def test_storage_that_is_used_up_is_found(found, emulated, monkeypatch):
    """The input files at the service, of anybody, are added up."""
    monkeypatch.setenv("ORCHESTRATOR_LIMITS__STORAGE_MAX_BYTES", "30")

    with emulated():
        for _ in range(3):
            upload(os.environ["ORCHESTRATOR_GEMINI__BASE_URL"], b"0123456789")
        finding = one(found(), "quota storage", "warn")

    assert finding["said"] == "3 input files hold 30 B of 30 B"


def test_calls_that_are_used_up_are_found(found, emulated):
    """A 429 for a mere list is no matter of the address."""
    with emulated(faults=[Fault(do="quota", on="batches.list")]):
        finding = one(found(), "service", "fail")

    assert "wait" in finding["remedy"]


@pytest.mark.parametrize(
    ("skew", "verdict"),
    [(None, "skip"), (1, "ok"), (-20, "ok"), (60, "warn"), (-60, "warn"), (600, "fail")],
)
def test_a_wrong_clock_is_found(skew, verdict):
    """A clock minutes away from the service's makes nonsense of times and may break TLS."""
    assert _clock(None if skew is None else timedelta(seconds=skew)).verdict == verdict
