"""What every implementation of the port `Files` keeps to."""

import hashlib
from typing import Any

import pytest

from orchestrator.ports import Refused, Unavailable
from tests.contract.providers import Provider
from tests.emulator.world import GRANULARITY, jsonl, line
from tests.gemini.values import FILE, MemorySession, Text

CONTENT = jsonl([line(str(n), "hello " * 20) for n in range(60)])


async def test_an_uploaded_file_is_found_by_its_name(there: Provider) -> None:
    """Upload and find tell the same: the name that we chose, the size, the hash."""
    stored = await there.files.upload(FILE, Text(CONTENT), MemorySession())
    found = await there.files.find(FILE)

    assert found == stored
    assert (stored.name, stored.size, stored.state) == (FILE, len(CONTENT), "active")
    assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert stored.expires is not None


async def test_what_is_not_there_is_none(there: Provider) -> None:
    """An unknown name is None; deleting it is no error."""
    assert await there.files.find(FILE) is None
    await there.files.delete(FILE)


async def test_a_deleted_file_is_gone(there: Provider) -> None:
    """After delete there is nothing; deleting again is no error."""
    await there.upload()
    await there.files.delete(FILE)
    await there.files.delete(FILE)

    assert await there.files.find(FILE) is None


async def test_the_same_content_under_the_same_name_is_the_same_file(there: Provider) -> None:
    """An upload that was done already is adopted, not done twice."""
    first = await there.files.upload(FILE, Text(CONTENT), MemorySession())
    second = await there.files.upload(FILE, Text(CONTENT), MemorySession())

    assert first == second


async def test_other_content_under_the_same_name_is_refused(there: Provider) -> None:
    """A name is never used for two contents."""
    await there.files.upload(FILE, Text(CONTENT), MemorySession())

    with pytest.raises(Refused):
        await there.files.upload(FILE, Text(CONTENT[::-1]), MemorySession())


async def brought(there: Provider, session: MemorySession) -> Text:
    """Upload, again and again while it is Unavailable, as the daemon does."""
    body = Text(CONTENT)
    for _ in range(5):
        try:
            stored = await there.files.upload(FILE, body, session)
        except Unavailable:
            continue
        assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
        return body
    raise AssertionError("the upload did not end")


FAULTS: list[dict[str, Any]] = [
    {"do": "cut_request", "bytes": 1},
    {"do": "cut_request", "bytes": GRANULARITY},
    {"do": "cut_request", "bytes": GRANULARITY + 1},
    {"do": "cut_request", "bytes": len(CONTENT) - 1},
    {"do": "lose_request", "on": "files.upload"},
    {"do": "lose_answer", "on": "files.upload"},
    {"do": "half_answer", "on": "files.upload"},
    {"do": "unavailable", "on": "files.upload"},
    {"do": "empty_error", "on": "files.upload"},
    {"do": "html", "on": "files.upload"},
    {"do": "out_of_step"},
    {"do": "no_upload_status"},
    {"do": "cancel_session"},
    {"do": "lose_answer", "on": "files.start"},
    {"do": "unavailable", "on": "files.start"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=["-".join(map(str, f.values())) for f in FAULTS])
async def test_an_upload_survives_each_fault(there: Provider, fault: dict[str, Any]) -> None:
    """One file in the end, whole, and no session left behind."""
    session = MemorySession()
    there.world.spoil(**fault, times=1)

    await brought(there, session)

    assert session.url is None
    assert await there.files.find(FILE) is not None


async def test_an_upload_goes_on_in_another_life(there: Provider) -> None:
    """With its journaled session alone, an upload sends only what the service lacks."""
    session = MemorySession()
    there.world.spoil("cut_request", bytes=3 * GRANULARITY, times=1)
    there.world.spoil("unavailable", on="files.query", times=1)
    with pytest.raises(Unavailable):
        await there.files.upload(FILE, Text(CONTENT), session)
    body = await brought(there, MemorySession(session.url))

    assert body.offsets
    assert min(body.offsets) >= GRANULARITY


async def test_a_session_that_ran_out_is_replaced(there: Provider) -> None:
    """A journaled session that the service no longer knows is started anew."""
    session = MemorySession()
    there.world.spoil("lose_request", on="files.upload", times=9)
    with pytest.raises(Unavailable):
        await there.files.upload(FILE, Text(CONTENT), session)
    assert session.url is not None
    there.world.emulator.faults.load([])
    there.wait(30 * 24 * 3600)
    await brought(there, session)

    assert len(session.saved) == 2
