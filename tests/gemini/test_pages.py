"""Lists that come page by page are walked to their end, and never in a circle."""

from tests.gemini.scripted import answer, scripted
from tests.gemini.values import client


def page(*names: str, token: str = "") -> bytes:
    """Return a page of models that can do batches."""
    methods = ["batchGenerateContent"]
    models = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in names]
    return answer(200, {"models": models} | ({"nextPageToken": token} if token else {}))


async def test_models_of_all_pages_are_told() -> None:
    """By their names, in the order of the pages."""
    pages = [page("a", token="x"), page(token="y"), page("b", "c")]
    async with scripted(*pages) as server, client(server.base_url) as gemini:
        found = await gemini.jobs.models()

        assert [model.name for model in found] == ["a", "b", "c"]
        assert [seen.target.partition("?")[2] for seen in server.seen] == [
            "pageSize=1000", "pageSize=1000&pageToken=x", "pageSize=1000&pageToken=y",
        ]  # fmt: skip


async def test_a_page_token_that_comes_again_ends_the_walk() -> None:
    """A service that sends us in a circle is asked for each of its pages once."""
    pages = [page("a", token="x"), page("b", token="y"), page("c", token="x")]
    async with scripted(*pages) as server, client(server.base_url) as gemini:
        found = await gemini.jobs.models()

        assert [model.name for model in found] == ["a", "b", "c"]
        assert len(server.seen) == 3
