"""E1-E5, E8, E15: secrets, the key file, the log, the socket, and who may use them."""

import json
import os
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.ears import listening, metrics
from tests.acceptance.house import DEFAULTS, House, house, judge, line
from tests.crash.real import KEY
from tests.judging.drops import Drop

pytestmark = pytest.mark.slow
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
ASK = """
import http.client, json, os, socket, sys
path, method, route = sys.argv[1:4]
end = socket.socket(socket.AF_UNIX)
try:
    end.connect(path)
except PermissionError:
    print("kernel")
    sys.exit()
asked = http.client.HTTPConnection("x")
asked.sock = end
asked.request(method, route)
print(asked.getresponse().status)
"""
FAULTS = (
    {"do": "lose_answer", "on": "files.upload", "times": 2},
    {"do": "unavailable", "on": "files.start", "times": 2},
    {"do": "html", "on": "batches.list", "times": 2},
    {"do": "malformed", "on": "batches.create", "nth": 1},
    {"do": "answer", "on": "batches.create", "status": 400, "nth": 2,
     "message": f'API key {KEY} not valid\n\x1b[31m{{"event":"forged"}}'},
    {"do": "answer", "on": "batches.create", "status": 401, "nth": 3, "message": f"not {KEY}"},
    {"do": "cut", "bytes": 40, "times": 2},
    {"do": "half_answer", "on": "files.download", "bytes": 30, "times": 2},
)  # fmt: skip

NO_KEYS = (
    (None, "key"),
    (b"", "empty"),
    (b"\x00\xff\xfe" * 9, "key"),
    (b"k" * (1 << 20), "key"),
    (b"one-secret-key\ntwo-secret-key\n", "key"),
)
SURELY = {
    "systemd": b"STATUS=running: ",
    "webhook": b'"blocked"',
    "command": b'"blocked"',
    "events": b'"delivered"',
    "metrics": b"orchestrator_moves_total",
    "config": b"gemini.api_key",
    "doctor": b'"verdict"',
}
LYING_THERE: dict[str, Callable[[Path], object]] = {
    "file": lambda path: path.write_text("mine"),
    "link": lambda path: path.symlink_to(path.parent / "elsewhere"),
    "folder": lambda path: path.mkdir(),
}


def said(one: House, *arguments: str) -> bytes:
    """Return all that a command says."""
    command = [*one.command[:-3], *arguments, "--config", str(one.config)]
    ended = subprocess.run(command, env=one.environ, capture_output=True, check=False)
    return ended.stdout + ended.stderr


def ask(path: Path, uid: int, gid: int, method: str, route: str) -> str:
    """Ask the socket as somebody else; returns the status, or "kernel" where it did not connect."""
    said = subprocess.run(
        ["/usr/bin/python3", "-c", ASK, str(path), method, route],
        capture_output=True,
        text=True,
        check=True,
        user=uid,
        group=gid,
        extra_groups=[],
    )
    return said.stdout.strip()


def test_e1_e2_e4_no_fault_brings_a_secret_to_light_or_forges_a_line(tmp_path):
    """Under faults, with debug log and asyncio's debug mode: no key, no upload URL, no forgery.

    That holds for whatever is told: files, log, ledger, socket, event stream, metrics, doctor,
    settings, systemd's status lines, the notices to a command and to a webhook.
    """
    with (
        listening(tmp_path) as ears,
        house(tmp_path, started=False, faults=FAULTS, config=DEFAULTS + ears.settings) as one,
    ):
        one.environment = {"PYTHONASYNCIODEBUG": "1", "NOTIFY_SOCKET": ears.manager}
        one.start()
        following = threading.Thread(target=ears.follow, args=(one.client,))
        following.start()
        drop = Drop("secret", 12, options={"max_requests_per_batch": 4})
        drop.put(one.inbox)
        one.drop("e4\nname\x1b[31m.jsonl", line(f"k\x1b {KEY[:4]}"))
        one.until((one.outbox / "secret" / "summary.json").exists, "the set", 90)
        one.until(lambda: ears.heard["webhook"].count(b'"delivered"') >= 2, "the notices")
        shown = json.dumps([one.status(), list(one.client.sets()), one.set("secret")])
        asked = {verb: said(one, verb, "--json") for verb in ("config", "doctor")}
        asked["metrics"] = metrics(one.root / "socket")
        one.stop()
        following.join()

        lines = one.log.splitlines()
        told = {**ears.everything, **asked}
        one.seen += b"".join(told.values())  # searched when the house is left, as its files are
        assert KEY not in shown
        assert [who for who, words in SURELY.items() if words not in told[who]] == []
        assert all(json.loads(text)["event"] != "forged" for text in lines)
        assert all(text.isprintable() for text in lines)


def test_e3_a_file_that_holds_no_key_is_said_without_its_content(tmp_path):
    """A missing or useless key file ends the start with 78 and a line that shows nothing of it."""
    with house(tmp_path, started=False) as one:
        file = one.credentials / "gemini_api_key"
        for content, words in NO_KEYS:
            file.unlink(missing_ok=True)
            if content is not None:
                file.write_bytes(content)

            code, said = one.start_and_end()

            assert code == 78, said
            assert words in said
            assert len(said.strip().splitlines()) == 1
            assert "secret" not in said.replace(str(tmp_path), "")


def test_e3_a_replaced_key_is_used_after_a_reload(tmp_path):
    """SIGHUP reads the key again: what was blocked goes on with the new one."""
    with house(tmp_path) as one:
        one.admin("keys:revoke", {"key": KEY})
        drop = Drop("renewed", 2)
        drop.put(one.inbox)
        one.until(lambda: one.status()["projects"][0]["blocked"], "the block")

        one.admin("keys:restore", {"key": KEY})
        one.set_key(KEY)
        assert one.process is not None
        one.process.send_signal(1)

        assert judge(one, drop) == []


@pytest.mark.skipif(
    not IS_ROOT or not Path("/usr/bin/python3").exists(),
    reason="only root can ask as somebody else, with a Python that everybody may run",
)
def test_e5_the_socket_is_for_its_group_and_orders_for_its_owner(tmp_path):
    """A stranger cannot connect, the group may read and not order, the owner may do both."""
    with house(tmp_path, started=False) as one:
        one.configure(f'{DEFAULTS}[service]\nsocket_group = "daemon"\n')
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == 0 and not folder.stat().st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        one.start()
        path, group = one.root / "socket", 1  # Debian's "daemon"

        assert ask(path, NOBODY, NOBODY, "GET", "/v1/status") == "kernel"
        assert ask(path, NOBODY, group, "GET", "/v1/status") == "200"
        assert ask(path, NOBODY, group, "POST", "/v1/sets/x:cancel") == "403"
        assert ask(path, 0, 0, "POST", "/v1/sets/aaaaaaaaaa:cancel") == "404"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert stat.S_IMODE(one.work.stat().st_mode) == 0o700


def test_e8_only_a_dead_socket_gives_way(tmp_path):
    """A socket that a killed daemon left is replaced; anything else is left alone, and said."""
    with house(tmp_path, started=False) as one:
        path = one.root / "socket"
        for kind, make in LYING_THERE.items():
            make(path)
            code, said = one.start_and_end()

            assert code == 73, kind
            assert str(path) in said
            assert path.is_symlink() == (kind == "link")
            path.rmdir() if kind == "folder" else path.unlink()
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(str(path))
        one.start()

        assert one.status()["service"]["state"] == "running"


def test_e15_the_status_is_told_from_memory_while_the_service_is_away(tmp_path):
    """With the service away, a status costs what it always does."""
    with house(tmp_path, faults=({"do": "unavailable", "on": "*"},)) as one:
        Drop("away", 2).put(one.inbox)
        one.until(lambda: list(one.client.sets(name="away")), "the set")
        times = []
        for _ in range(20):
            began = time.perf_counter()
            one.status()
            times.append(time.perf_counter() - began)

        assert sorted(times)[10] < 0.1
