"""`doctor` finds each trouble of the machine and names its remedy."""

import asyncio
import os
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.cli import doctor_machine as machine
from orchestrator.config.settings import load
from orchestrator.daemon.surroundings import migrations
from orchestrator.store.database import Database
from tests.cli.findings import one
from tests.store import values


def test_a_healthy_home_has_nothing_to_mend(found):
    """With folders and space, nothing fails; what is not there yet will be made."""
    findings = found("--offline")

    assert {f["verdict"] for f in findings} <= {"ok", "warn", "skip"}
    assert "will be made" in one(findings, "folder outbox", "ok")["said"]
    one(findings, "settings", "warn")  # no model is set


def test_wrong_settings_are_findings_too(found, monkeypatch):
    """Each problem of the settings is a finding; the rest cannot be looked at."""
    monkeypatch.setenv("ORCHESTRATOR_LIMITS__TIER", "9")

    (finding,) = found()

    assert finding["check"] == "settings"
    assert "limits.tier" in finding["said"]


def test_a_file_where_a_folder_should_be(found, home):
    """Something in the place of a folder is found."""
    (home / "s" / "outbox").write_text("")

    assert "is not a folder" in one(found("--offline"), "folder outbox", "fail")["said"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
@pytest.mark.parametrize("outbox", ["/dev/shm", "/dev/shm/orchestrator-not-there-yet"])
@pytest.mark.parametrize("started", [True, False])
def test_an_outbox_on_another_file_system_is_found(found, monkeypatch, outbox, started):
    """Results appear whole only by a rename; that is said before the first start, too."""
    monkeypatch.setenv("ORCHESTRATOR_SERVICE__OUTBOX", outbox)
    paths = load(None).paths
    if started:
        paths.work.mkdir()
    if paths.state_dir.parent.stat().st_dev == Path("/dev/shm").stat().st_dev:
        pytest.skip("there is only one file system here")

    assert "another file system" in one(found("--offline"), "file systems", "fail")["said"]


def test_an_inbox_for_everybody_is_found(found, home):
    """Whoever can drop files spends the owner's money."""
    (home / "s" / "inbox").chmod(0o777)

    assert "chmod o-w" in one(found("--offline"), "inbox", "fail")["remedy"]


def test_too_little_space_is_found(found, monkeypatch):
    """Less than min_free_bytes, and nothing new is taken."""
    monkeypatch.setenv("ORCHESTRATOR_SERVICE__MIN_FREE_BYTES", str(10**18))

    assert "free some" in one(found("--offline"), "space", "fail")["remedy"]


def test_a_file_in_the_way_of_the_socket_is_found(found, home):
    """What is no socket is not removed by the daemon, so it must be by hand."""
    (home / "s" / "orchestrator.sock").write_text("")

    assert "in the way" in one(found("--offline"), "socket", "fail")["said"]


def test_a_dead_socket_of_ours_is_no_trouble(found, home):
    """A socket that a killed daemon left is replaced."""
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(home / "s" / "orchestrator.sock"))

    assert "will be replaced" in one(found("--offline"), "socket", "ok")["said"]


def test_a_damaged_ledger_is_found(found, home):
    """A file that is no ledger is said to be damaged, with what to do."""
    (home / "s" / "orchestrator.db").write_bytes(b"not a database" * 1000)

    one(found("--offline"), "ledger", "fail")


def test_a_ledger_of_a_newer_version_is_found(found, home):
    """After a downgrade the ledger cannot be opened; that is said before the daemon is started."""
    ledger = home / "s" / "orchestrator.db"

    async def begin():
        url = f"sqlite+aiosqlite:///{ledger}"
        database = await Database.open(url, migrations=migrations(), now=values.NOW)
        await database.close()

    asyncio.run(begin())
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
        database.commit()

    finding = one(found("--offline"), "ledger", "fail")

    assert "newer orchestrator" in finding["said"]


@pytest.mark.parametrize(("passing", "verdict"), [(False, "fail"), (True, "warn")])
def test_what_ends_by_itself_is_only_a_warning(found, daemon, shown, passing, verdict):
    """A condition that asks nothing of anybody does not make the doctor fail."""
    condition = {
        "kind": "slow", "subject": "", "message": "a job waits for 30 h", "remedy": "wait",
        "since": "2026-01-02T03:04:05Z", "fatal": False, "passing": passing,
    }  # fmt: skip
    daemon.status = shown.a_status(conditions=[condition])

    assert one(found("--offline"), "daemon", verdict)["said"] == "a job waits for 30 h"


def test_what_the_running_daemon_lacks_is_told(found, daemon, shown):
    """Conditions and blocks of the daemon are findings with the daemon's own remedy."""
    daemon.status = shown.a_status(
        projects=[
            {
                "name": "default", "blocked": True, "reason": "the key was refused",
                "remedy": "put in a new key", "since": None, "active_jobs": 0,
                "active_jobs_max": 100, "enqueued_tokens": {},
            }
        ]
    )  # fmt: skip

    findings = found("--offline")

    assert one(findings, "daemon", "fail")["remedy"] == "put in a new key"
    assert "a daemon listens" in one(findings, "socket", "ok")["said"]


# ---- the unit -----------------------------------------------------------------------------------

UNIT = """
[Service]
Type=notify
ExecStart=/usr/bin/orchestrator run
LoadCredential=gemini_api_key:/etc/orchestrator/gemini_api_key
StateDirectory=orchestrator
Restart=on-failure
"""


def test_a_good_unit_is_said_to_be(tmp_path):
    """A unit that has what the daemon relies on."""
    (tmp_path / machine.UNIT).write_text(UNIT)

    (finding,) = machine.unit((str(tmp_path),))

    assert finding.verdict == "ok"


@pytest.mark.parametrize("missing", sorted(machine.UNIT_NEEDS))
def test_a_unit_that_lacks_something_is_found(tmp_path, missing):
    """Each line that the daemon relies on is missed by name."""
    lines = [line for line in UNIT.splitlines() if not line.startswith(f"{missing}=")]
    (tmp_path / machine.UNIT).write_text("\n".join(lines))

    (finding,) = machine.unit((str(tmp_path),))

    assert finding.verdict == "warn"
    assert missing in finding.said


def test_a_unit_in_another_encoding_and_of_instances_is_read(tmp_path):
    """A comment in Latin-1 hides nothing; a template unit starts the daemon just as well."""
    comment = "# für uns\n".encode("latin-1")
    (tmp_path / machine.TEMPLATE).write_bytes(comment + UNIT.encode())

    (finding,) = machine.unit((str(tmp_path),))

    assert finding.verdict == "ok"


def test_an_empty_line_of_a_unit_is_a_missing_one(tmp_path):
    """StateDirectory= takes the folder away."""
    (tmp_path / machine.UNIT).write_text(UNIT.replace("=orchestrator\n", "=\n"))

    (finding,) = machine.unit((str(tmp_path),))

    assert finding.verdict == "warn"
    assert "StateDirectory" in finding.said


def test_no_unit_at_all_is_found(tmp_path):
    """Without a unit the daemon does not come back after a reboot."""
    (finding,) = machine.unit((str(tmp_path),))

    assert finding.verdict == "warn"
    assert "deploy/orchestrator.service" in finding.remedy


@pytest.mark.parametrize(("command", "verdict"), [("/no/such/bell", "fail"), ("/bin/true", "ok")])
def test_a_command_that_cannot_be_started_is_found(found, monkeypatch, command, verdict):
    """Who is to be told of things is looked at before there is anything to tell."""
    monkeypatch.setenv("ORCHESTRATOR_NOTIFY__COMMAND", f'["{command}"]')

    assert command in one(found("--offline"), "notify", verdict)["said"]
