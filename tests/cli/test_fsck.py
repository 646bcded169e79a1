"""`fsck` looks at a copy of the ledger and changes nothing."""

import asyncio
import hashlib
import json
import os
from datetime import UTC, datetime

import pytest

from orchestrator.config.settings import load
from orchestrator.daemon.surroundings import migrations
from orchestrator.service.lock import state_lock
from orchestrator.store.database import Database

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def ledger(home):
    """Return the file of a new ledger."""

    async def make():
        paths = load(None).paths
        database = await Database.open(paths.database_url, migrations=migrations(), now=NOW)
        await database.close()
        return paths.ledger

    assert home.exists()
    return asyncio.run(make())


def test_a_sound_ledger_is_said_to_be(call, ledger):
    """A ledger in which every invariant holds is 0, and is not changed by a byte."""
    before = hashlib.sha256(ledger.read_bytes()).hexdigest()

    ended, as_json = call("fsck"), call("fsck", "--json")

    assert (ended.code, ended.out) == (0, "the ledger is sound: every invariant holds\n")
    assert json.loads(as_json.out) == {"findings": []}
    assert hashlib.sha256(ledger.read_bytes()).hexdigest() == before


def test_a_damaged_ledger_is_65(call, ledger):
    """A damaged file is EX_DATAERR; the file named is the ledger, not the copy."""
    content = bytearray(ledger.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    ledger.write_bytes(content)

    ended = call("fsck")

    assert ended.code == os.EX_DATAERR
    assert "orchestrator-fsck-" not in ended.err + ended.out


def test_a_running_daemon_is_not_disturbed(call, ledger):
    """While somebody holds the state directory nothing is looked at: 75."""
    with state_lock(ledger.parent, NOW):
        ended = call("fsck")

    assert ended.code == os.EX_TEMPFAIL
    assert "another daemon works here" in ended.err


def test_without_a_ledger_there_is_nothing_to_check(call):
    """No ledger is EX_NOINPUT."""
    ended = call("fsck")

    assert ended.code == os.EX_NOINPUT
    assert "there is no ledger to check" in ended.err
