"""What tests of commands need: the command line in this process, and a daemon that answers."""

import http.server
import json
import os
import socketserver
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.cli.program import main
from orchestrator.status import status_views, views

GOLDEN = Path(__file__).parent / "golden"
RECEIVED = "2026-01-02T03:04:05Z"


class Ended:
    """How a command ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"{self.code}\n{self.out}\n--\n{self.err}"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Give the command a state directory of its own, and nothing from this machine."""
    for name in list(os.environ):
        if name.startswith(("ORCHESTRATOR_", "GEMINI_", "GOOGLE_", "XDG_")):
            monkeypatch.delenv(name)
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("ORCHESTRATOR_SERVICE__STATE_DIR", str(tmp_path / "s"))
    (tmp_path / "s" / "inbox").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def call(home, capfd):  # noqa: ARG001 - the command finds the home by its environment
    """Return a function that runs a command line in this process."""

    def run(*arguments):
        capfd.readouterr()
        code = main([str(each) for each in arguments])
        captured = capfd.readouterr()
        return Ended(code, captured.out, captured.err)

    return run


@pytest.fixture
def found(call):
    """Return a function that runs the doctor and returns its findings by check."""

    def look(*arguments):
        ended = call("doctor", "--json", *arguments)
        findings = json.loads(ended.out)
        assert ended.code == (1 if any(f["verdict"] == "fail" for f in findings) else 0)
        return findings

    return look


@pytest.fixture
def golden():
    """Return a function that compares a text with the one on file.

    With UPDATE_GOLDEN=1 in the environment the file is written instead.
    """

    def compare(name, text):
        file = GOLDEN / name
        if os.environ.get("UPDATE_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, "utf-8")
        assert text == file.read_text("utf-8"), f"{name} differs; see UPDATE_GOLDEN"

    return compare


# ---- a daemon that answers ----------------------------------------------------------------------


def a_set(name, **changes):
    """Return a set as the wire shows it; the models check it."""
    usage = {"prompt_tokens": 0, "cached_tokens": 0, "candidate_tokens": 0, "thought_tokens": 0}
    plain = {
        "id": f"{name:a<10.10}", "name": name, "profile": "", "project": "default",
        "kind": "generate", "model": "gemini-2.5-flash", "priority": 0, "state": "running",
        "display": "running", "reason": None, "remedy": None, "requests": 1000, "answered": 0,
        "failed": 0, "open": 1000, "flawed": 0, "generation": 1, "batches": {}, "bytes": 123456,
        "tokens": 45678, "usage": usage, "cost": None, "cost_estimate": None, "run": 1,
        "answered_from": None, "outbox": None, "received_at": RECEIVED, "first_submitted_at": None,
        "finished_at": None, "oldest_job_age_seconds": None, "estimated_end_at": None,
    } | changes  # fmt: skip
    return json.loads(views.SetView.model_validate(plain).model_dump_json())


def a_batch(serial, **changes):
    """Return a batch as the wire shows it."""
    plain = dict.fromkeys(views.BatchView.model_fields) | {
        "token": f"orc1-batch-{serial}", "set_id": "aaaaaaaaaa", "serial": serial, "generation": 1,
        "state": "submitted", "mode": "file", "model": "gemini-2.5-flash", "project": "default",
        "requests": 500, "bytes": 61728, "tokens": 22839, "job": f"batches/b{serial}",
        "job_state": "running", "age_seconds": 4321,
    } | changes  # fmt: skip
    return json.loads(views.BatchView.model_validate(plain).model_dump_json())


def a_status(**changes):
    """Return the daemon at a glance as the wire shows it."""
    zero = dict.fromkeys(status_views.Queues.model_fields, 0)
    service = {
        "name": "orchestrator", "version": "0.1.0", "pid": 4242, "state": "running",
        "started_at": RECEIVED, "uptime_seconds": 7384, "event_loop_lag_seconds": 0.001,
    }  # fmt: skip
    totals = {
        "sets": {}, "batches": {}, "requests": 3000, "answered": 1200, "failed": 5, "open": 1795,
        "oldest_job_age_seconds": 4321, "spent_today": "12.340000", "spent": "99.000000",
        "unpriced": [], "incidents": 0,
    }  # fmt: skip
    plain = {
        "service": service, "conditions": [], "queues": zero, "totals": totals, "projects": [],
        "reading": [], "last_scan": None, "incidents": [],
    } | changes  # fmt: skip
    return json.loads(status_views.StatusView.model_validate(plain).model_dump_json())


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Answers like the status socket, from values that a test sets; notes its orders."""

    daemon_threads = True

    def __init__(self, path):
        super().__init__(str(path), _Handler)
        self.status = a_status()
        self.sets = []
        self.batches = []
        self.orders = []
        self.answer = None  # (status, problem): what every order gets
        self.seen = lambda: None  # called before each answer


class _Handler(http.server.BaseHTTPRequestHandler):
    def address_string(self):
        return "peer"

    def log_message(self, *_):
        pass

    def do_GET(self):
        daemon, url = cast("Daemon", self.server), urlsplit(self.path)
        daemon.seen()
        wanted = {key: value[0] for key, value in parse_qs(url.query).items()}
        if url.path == "/v1/status":
            return self._say(200, daemon.status)
        if url.path == "/v1/sets":
            found = [s for s in daemon.sets if wanted.get("name") in (None, s["name"])]
            found = [s for s in found if s["id"].startswith(wanted.get("id", ""))]
            return self._say(200, {"items": found, "next": None})
        if url.path.endswith("/batches"):
            return self._say(200, {"items": daemon.batches, "next": None})
        for each in daemon.sets:
            if url.path == f"/v1/sets/{each['id']}":
                return self._say(200, each)
        return self._problem(404, "there is no such set", "GET /v1/sets lists them")

    def do_POST(self):
        daemon = cast("Daemon", self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        daemon.orders.append((self.path, json.loads(body) if body else None))
        if daemon.answer:
            return self._problem(*daemon.answer)
        _, _, verb = self.path.rpartition(":")
        return self._say(200, {"set_id": "x", "verb": verb, "message": f"{verb} is done"})

    def _problem(self, status, detail, remedy):
        self._say(status, {"status": status, "detail": detail, "remedy": remedy})

    def _say(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def daemon(home):
    """Return a daemon that answers on the socket of `home`."""
    with Daemon(home / "s" / "orchestrator.sock") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def shown():
    """Return the makers of what the wire shows."""

    return SimpleNamespace(a_set=a_set, a_batch=a_batch, a_status=a_status)
