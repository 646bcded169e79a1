"""The list of a project's input files is read whole, or not at all."""

from typing import Any

import pytest

from orchestrator.ports import Unavailable
from tests.gemini.scripted import answer, rpc, scripted
from tests.gemini.values import client


def page(*names: str, token: str = "") -> bytes:
    """Return a page of files of 10 bytes each."""
    files = [{"name": f"files/{name}", "sizeBytes": "10", "state": "ACTIVE"} for name in names]
    body: dict[str, Any] = {"files": files} if files else {}
    return answer(200, body | ({"nextPageToken": token} if token else {}))


async def test_all_pages_of_files_are_read() -> None:
    """The list goes over all pages, an empty one too; a size that is not told counts nothing."""
    pages = [page("a", "b", token="x"), page(token="y"), page("c")]
    async with scripted(*pages) as server, client(server.base_url) as gemini:
        found = await gemini.files.stored()

        assert [(file.name, file.size) for file in found] == [
            ("files/a", 10), ("files/b", 10), ("files/c", 10),
        ]  # fmt: skip
        assert [seen.target.partition("?")[2] for seen in server.seen] == [
            "pageSize=100", "pageSize=100&pageToken=x", "pageSize=100&pageToken=y",
        ]  # fmt: skip


async def test_a_project_without_files_has_none() -> None:
    """`{}` is an empty list."""
    async with scripted(page()) as server, client(server.base_url) as gemini:
        assert await gemini.files.stored() == []


@pytest.mark.parametrize(
    "last",
    [rpc(500, "INTERNAL", "x"), answer(200, {"operations": []}), answer(200, b"<html>")],
)
async def test_a_list_that_cannot_be_read_to_its_end_is_none(last: bytes) -> None:
    """A half list is not taken for the whole."""
    async with scripted(page("a", token="x"), last) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable):
            await gemini.files.stored()
