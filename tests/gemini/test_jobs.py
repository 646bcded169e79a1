"""One job at a time: look, cancel, delete, and the models."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.domain.jobs import Gone, JobSnapshot, JobState
from orchestrator.gemini.client import Gemini
from orchestrator.ports import Blocked, ModelInfo, Unavailable
from tests.gemini.scripted import answer, rpc, scripted
from tests.gemini.values import FILE, INSTALL, JOB, KEY, client, operation

RUNNING = answer(200, operation("BATCH_STATE_RUNNING"))
OUTPUT = {"responsesFile": "files/batch-x"}


async def test_a_job_is_looked_at_without_its_results() -> None:
    """The look asks for what it needs only, by the job's own name."""
    async with scripted(RUNNING) as server, client(server.base_url) as gemini:
        seen = await gemini.jobs.look(JOB)

        assert isinstance(seen, JobSnapshot)
        assert seen.state is JobState.RUNNING
        assert server.seen[0].target.startswith(f"/v1beta/{JOB}?fields=name")


async def test_a_job_that_the_service_does_not_know_is_gone() -> None:
    """404 from the API itself means that it does not know the job."""
    async with scripted(rpc(404, "NOT_FOUND", "x")) as server, client(server.base_url) as gemini:
        assert await gemini.jobs.look(JOB) == Gone()


@pytest.mark.parametrize(
    "reply",
    [
        answer(404, b"<html>"),
        rpc(403, "PERMISSION_DENIED", "x"),
        rpc(429, "RESOURCE_EXHAUSTED", "x"),
        rpc(500, "INTERNAL", "x"),
        answer(200, b"<html>"),
        answer(200, b"}"),
        answer(200, {"name": "../x"}),
        RUNNING[:-9],
        b"",
    ],
    ids=["404 HTML", "403", "429", "500", "HTML", "no JSON", "no name", "cut", "closed"],
)
async def test_a_look_that_fails_proves_nothing(reply: bytes) -> None:
    """Only the API's own 404 makes a job gone; all else is Unavailable."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable):
            await gemini.jobs.look(JOB)


async def test_an_unmasked_look_passes_large_results_by() -> None:
    """Where a mask does not work, inline results stream past and are not kept."""
    items = [{"response": {"text": "x" * 100_000}, "metadata": {"key": str(n)}} for n in range(50)]
    inline = {"inlinedResponses": {"inlinedResponses": items}}
    whole = operation(
        "BATCH_STATE_SUCCEEDED", metadata={"output": inline}, done=True, response=inline
    )
    replies = [rpc(400, "INVALID_ARGUMENT", "no mask"), answer(200, whole)]
    service = {"answer_bytes_max": 1 << 16, "item_bytes_max": 1 << 18}
    async with scripted(*replies) as server, client(server.base_url, service=service) as gemini:
        seen = await gemini.jobs.look(JOB)

        assert isinstance(seen, JobSnapshot)
        assert (seen.state, seen.output) == (JobState.SUCCEEDED, None)
        assert "fields" not in server.seen[1].target


async def test_a_mask_that_hides_the_result_file_is_seen_through() -> None:
    """An ended file job without a result file is asked for once more, whole."""
    cut = operation("BATCH_STATE_SUCCEEDED", metadata={"inputConfig": {"fileName": FILE}})
    replies = [answer(200, cut), answer(200, cut | {"response": OUTPUT})]
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        seen = await gemini.jobs.look(JOB)

    assert isinstance(seen, JobSnapshot)
    assert seen.output == OUTPUT["responsesFile"]


async def test_a_mask_that_hides_the_state_is_not_used_again() -> None:
    """Once a mask cut the state out, jobs are asked for whole."""
    replies = [answer(200, {"name": JOB}), RUNNING, RUNNING]
    async with scripted(*replies) as server, client(server.base_url) as gemini:
        await gemini.jobs.look(JOB)
        await gemini.jobs.look(JOB)

        assert ["fields" in seen.target for seen in server.seen] == [True, False, False]


Call = Callable[[Gemini], Awaitable[None]]


async def cancel(gemini: Gemini) -> None:
    await gemini.jobs.cancel(JOB)


async def delete(gemini: Gemini) -> None:
    await gemini.jobs.delete(JOB)


async def delete_file(gemini: Gemini) -> None:
    await gemini.files.delete(FILE)


@pytest.mark.parametrize(
    ("call", "reply", "sent"),
    [
        (cancel, answer(200, {}), f"POST /v1beta/{JOB}:cancel"),
        (cancel, rpc(400, "FAILED_PRECONDITION", "already over"), f"POST /v1beta/{JOB}:cancel"),
        (cancel, rpc(404, "NOT_FOUND", "gone"), f"POST /v1beta/{JOB}:cancel"),
        (cancel, rpc(409, "ABORTED", "over"), f"POST /v1beta/{JOB}:cancel"),
        (delete, answer(200, {}), f"DELETE /v1beta/{JOB}"),
        (delete, rpc(404, "NOT_FOUND", "gone"), f"DELETE /v1beta/{JOB}"),
        (delete_file, answer(200, {}), f"DELETE /v1beta/{FILE}"),
        (delete_file, rpc(403, "PERMISSION_DENIED", "or may not exist"), f"DELETE /v1beta/{FILE}"),
        (delete_file, rpc(404, "NOT_FOUND", "gone"), f"DELETE /v1beta/{FILE}"),
    ],
)
async def test_what_is_over_or_gone_already_is_no_error(
    call: Call, reply: bytes, sent: str
) -> None:
    """Cancel and delete may be repeated: too late is as good as done."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        await call(gemini)

        assert f"{server.seen[0].method} {server.seen[0].target}" == sent


@pytest.mark.parametrize("call", [cancel, delete, delete_file])
@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (rpc(500, "INTERNAL", "x"), Unavailable),
        (rpc(429, "RESOURCE_EXHAUSTED", "x"), Unavailable),
        (answer(302, b"", {"location": "http://example.com"}), Unavailable),
        (b"", Unavailable),
        (rpc(401, "UNAUTHENTICATED", "x"), Blocked),
        (rpc(400, "INVALID_ARGUMENT", "API key not valid."), Blocked),
        (rpc(403, "PERMISSION_DENIED", "Your API key was reported as leaked."), Blocked),
    ],
    ids=["500", "429", "302", "closed", "401", "bad key", "leaked key"],
)
async def test_a_failed_cancel_or_delete_may_be_repeated(
    call: Call, reply: bytes, trouble: type[Exception]
) -> None:
    """What was not done is Unavailable, and Blocked when the key is to blame."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(trouble):
            await call(gemini)


async def test_a_model_is_described_by_the_service() -> None:
    """The methods of a model tell whether it can be used in a batch."""
    described = {"name": "models/m", "supportedGenerationMethods": ["batchGenerateContent"]}
    async with scripted(answer(200, described)) as server, client(server.base_url) as gemini:
        model = await gemini.jobs.model("m")

        assert model == ModelInfo("m", frozenset({"batchGenerateContent"}))
        assert server.seen[0].target == "/v1beta/models/m"


@pytest.mark.parametrize("name", ["unknown", "no/model"])
async def test_an_unknown_model_is_none(name: str) -> None:
    """What the service does not know, or what cannot be a model, is None."""
    async with scripted(rpc(404, "NOT_FOUND", "x")) as server, client(server.base_url) as gemini:
        assert await gemini.jobs.model(name) is None


@pytest.mark.parametrize(
    "reply",
    [
        answer(200, {"name": "batches/../../x"}),
        answer(200, {"name": "models/m"}),
        answer(200, {}),
        answer(404, b"<html>not here</html>"),
        answer(400, {}),
    ],
    ids=["a job", "no methods", "nothing", "a page for people", "no error in it"],
)
async def test_nonsense_about_a_model_tells_nothing_of_it(reply: bytes) -> None:
    """Only the API's own word says that there is no such model; else it is asked again."""
    async with scripted(reply) as server, client(server.base_url) as gemini:
        with pytest.raises(Unavailable):
            await gemini.jobs.model("m")


async def test_the_account_follows_the_key_and_does_not_tell_it() -> None:
    """Another key is another account; the fingerprint holds nothing of the key."""
    keys = iter([KEY, KEY, KEY + "2"])
    async with client("http://127.0.0.1:9") as gemini:
        gemini.jobs._transport._key = lambda: next(keys)
        first, again, other = (gemini.jobs.account for _ in range(3))

    assert first == again != other
    assert first not in KEY
    assert INSTALL not in first


async def test_calls_are_observed_and_the_clock_compared() -> None:
    """Each call is told with its outcome, and the service's Date gives the skew of the clocks."""
    calls: list[tuple[Any, ...]] = []
    early = answer(200, operation(), {"date": "Tue, 01 Jan 2019 00:00:00 GMT"})
    async with (
        scripted(early, b"") as server,
        client(server.base_url, observe=lambda *call: calls.append(call)) as gemini,
    ):
        await gemini.jobs.look(JOB)
        with pytest.raises(Unavailable):
            await gemini.jobs.look(JOB)

        assert gemini.skew is not None
        assert gemini.skew.days < -365
    assert [call[:2] for call in calls] == [("get", 200), ("get", "ServerDisconnectedError")]
    assert all(call[2] >= 0 for call in calls)


async def test_a_base_url_may_have_a_path() -> None:
    """A gateway's path stands before the API's."""
    async with scripted(RUNNING) as server, client(f"{server.base_url}/gate/") as gemini:
        await gemini.jobs.look(JOB)

        assert server.seen[0].target.startswith(f"/gate/v1beta/{JOB}")


async def test_gzip_is_read_though_it_was_not_asked_for() -> None:
    """A proxy that compresses does not stop us."""
    import gzip

    body = gzip.compress(json.dumps(operation("BATCH_STATE_RUNNING")).encode())
    reply = answer(200, body, {"content-encoding": "gzip"})
    async with scripted(reply) as server, client(server.base_url) as gemini:
        seen = await gemini.jobs.look(JOB)

    assert isinstance(seen, JobSnapshot)
    assert seen.state is JobState.RUNNING


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes to the configured address only, whatever the environment says."""
    async with scripted(RUNNING) as proxy, scripted(RUNNING) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.base_url)
        monkeypatch.delenv("no_proxy", raising=False)
        async with client(server.base_url) as gemini:
            await gemini.jobs.look(JOB)

        assert (proxy.connections, server.connections) == (0, 1)
