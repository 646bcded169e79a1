"""A scan shows absence only when it is whole: every page well-formed, to the end, no circle."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator.ports import Blocked, Unavailable
from tests.gemini.scripted import Script, answer, rpc, scripted
from tests.gemini.values import client, operation


def page(*names: str, token: str = "", **extra: Any) -> bytes:
    listed = [operation(name=f"batches/{name}") for name in names]
    body: dict[str, Any] = {"operations": listed} if listed else {}
    return answer(200, body | ({"nextPageToken": token} if token else {}) | extra)


def queries(server: Script) -> list[dict[str, list[str]]]:
    return [parse_qs(urlsplit(seen.target).query) for seen in server.seen]


async def test_all_pages_are_walked() -> None:
    """The scan follows the tokens to the end, over an empty page too, a hundred jobs at a time."""
    pages = [page("a", "b", token="one &=?"), page(token="two"), page("c")]
    async with scripted(*pages) as server, client(server.base_url) as gemini:
        scan = await gemini.jobs.scan()

        assert scan.complete
        assert [job.name for job in scan.jobs] == ["batches/a", "batches/b", "batches/c"]
        assert scan.pages == 3
        asked = queries(server)
        assert [query.get("pageToken") for query in asked] == [None, ["one &=?"], ["two"]]
        assert all(query["pageSize"] == ["100"] and "fields" in query for query in asked)


async def test_an_empty_project_is_a_complete_scan() -> None:
    """`{}` is an empty list, seen whole."""
    async with scripted(page()) as server, client(server.base_url) as gemini:
        scan = await gemini.jobs.scan()

    assert (scan.complete, scan.jobs, scan.pages) == (True, (), 1)


async def test_a_job_on_two_pages_is_one_job() -> None:
    """A list that moves while it is read shows a job twice; it is one."""
    pages = [page("a", "b", token="x"), page("b", "c")]
    async with scripted(*pages) as server, client(server.base_url) as gemini:
        scan = await gemini.jobs.scan()

    assert [job.name for job in scan.jobs] == ["batches/a", "batches/b", "batches/c"]


LATER = {
    "an error": rpc(500, "INTERNAL", "x"),
    "429": rpc(429, "RESOURCE_EXHAUSTED", "x"),
    "HTML": answer(200, b"<html>"),
    "truncated JSON": answer(200, b'{"operations": [{"na'),
    "cut off": page("c")[:-5],
    "no list": answer(200, {"batches": []}),
    "an entry without a name": page("../c"),
    "the same token": page("c", token="x"),
    "an absurd token": page("c", token="y" * 5000),
}


@pytest.mark.parametrize("second", LATER.values(), ids=LATER.keys())
async def test_a_bad_later_page_makes_the_scan_incomplete(second: bytes) -> None:
    """What was seen is shown; that the rest is missing is said."""
    async with scripted(page("a", token="x"), second) as server, client(server.base_url) as gemini:
        scan = await gemini.jobs.scan()

        assert not scan.complete
        assert scan.trouble
        assert scan.jobs[0].name == "batches/a"
        assert server.connections == 2


async def test_the_walk_is_bounded() -> None:
    """A list that does not end is given up, incomplete."""
    pages = [page(f"a{number}", token=f"t{number}") for number in range(9)]
    service = {"pages_max": 5}
    async with (
        scripted(*pages) as server,
        client(server.base_url, service=service) as gemini,
    ):
        scan = await gemini.jobs.scan()

    assert (scan.complete, scan.pages, len(scan.jobs)) == (False, 5, 5)


@pytest.mark.parametrize(
    ("first", "trouble"),
    [
        (rpc(500, "INTERNAL", "x"), Unavailable),
        (answer(503, b"<html>"), Unavailable),
        (rpc(429, "RESOURCE_EXHAUSTED", "x"), Unavailable),
        (answer(302, b"", {"location": "http://example.com/"}), Unavailable),
        (b"", Unavailable),
        (rpc(401, "UNAUTHENTICATED", "x"), Blocked),
        (rpc(403, "PERMISSION_DENIED", "x"), Blocked),
    ],
    ids=["500", "503 HTML", "429", "302", "closed", "401", "403"],
)
async def test_without_a_first_page_there_is_no_scan(
    first: bytes, trouble: type[Exception]
) -> None:
    """A list that cannot be had at all is Unavailable, or Blocked when it is the key."""
    async with scripted(first) as server, client(server.base_url) as gemini:
        with pytest.raises(trouble):
            await gemini.jobs.scan()


async def test_a_first_page_of_nonsense_is_an_incomplete_scan() -> None:
    """A 200 that is no list shows nothing at all."""
    async with scripted(answer(200, b"<html>")) as server, client(server.base_url) as gemini:
        scan = await gemini.jobs.scan()

    assert (scan.complete, scan.pages, scan.jobs) == (False, 0, ())


CUT_OUT = answer(200, {"operations": [{"name": "batches/a"}]})


@pytest.mark.parametrize("refusal", [rpc(400, "INVALID_ARGUMENT", "mask"), CUT_OUT])
async def test_a_field_mask_is_only_tried(refusal: bytes) -> None:
    """When the mask is refused or cuts the state out, it is left away, now and later."""
    pages = [refusal, page("a", token="x"), page("b"), page("a")]
    async with scripted(*pages) as server, client(server.base_url) as gemini:
        first, second = await gemini.jobs.scan(), await gemini.jobs.scan()

        assert first.complete
        assert len(first.jobs) == 2
        assert len(second.jobs) == 1
        assert ["fields" in query for query in queries(server)] == [True, False, False, False]


async def test_a_bad_key_is_not_taken_for_a_bad_mask() -> None:
    """400 about the key blocks at once: asking again without a mask would not help."""
    refusal = rpc(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
    async with scripted(refusal) as server, client(server.base_url) as gemini:
        with pytest.raises(Blocked):
            await gemini.jobs.scan()

        assert server.connections == 1
