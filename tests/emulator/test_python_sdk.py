"""The official Python SDK drives the emulator unchanged but for its base URL, and parses every
answer.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.emulator.served import QUICK, served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*is experimental.*"),
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MODEL = "gemini-2.5-flash"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One emulator for all."""
    with served(tmp_path_factory.mktemp("emulator")) as url:
        yield url


@pytest.fixture(params=["v1", "v1beta"])
def client(base: str, request: pytest.FixtureRequest) -> genai.Client:
    """A client as the SDK makes it by default (v1), and one for v1beta."""
    options = types.HttpOptions(base_url=base)
    if request.param != "v1":
        options.api_version = request.param
    return genai.Client(api_key=f"key-{request.node.name}", http_options=options)


def _ended(client: genai.Client, name: str | None) -> types.BatchJob:
    assert name is not None
    while True:
        job = client.batches.get(name=name)
        if job.done:
            return job
        time.sleep(0.05)


def _write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_inline_requests(client: genai.Client) -> None:
    """Inline create, get until done, results with their metadata and parsed text."""
    requests: list[Any] = [
        {"contents": [{"parts": [{"text": "Tell me a joke."}], "role": "user"}]},
        {
            "contents": [{"parts": [{"text": "Why is the sky blue?"}], "role": "user"}],
            "metadata": {"key": "sky"},
            "config": {
                "system_instruction": "be brief",
                "temperature": 0.3,
                "thinking_config": {"thinking_budget": 0},
                "tools": [{"google_search": {}}],
            },
        },
    ]

    created = client.batches.create(model=MODEL, src=requests, config={"display_name": "inline"})
    job = _ended(client, created.name)

    assert created.state == types.JobState.JOB_STATE_PENDING
    assert created.display_name == "inline"
    assert created.model == f"models/{MODEL}"
    assert job.state == types.JobState.JOB_STATE_SUCCEEDED
    assert job.dest is not None
    assert job.dest.inlined_responses is not None
    first, second = job.dest.inlined_responses
    assert first.response is not None
    assert first.response.text is not None
    assert "Tell me a joke." in first.response.text
    assert second.metadata == {"key": "sky"}
    assert second.response is not None
    assert second.response.usage_metadata is not None
    assert second.response.usage_metadata.thoughts_token_count is None


def test_structured_output(client: genai.Client) -> None:
    """A response schema is answered with an instance that the SDK's schema fits."""
    schema = {
        "type": "OBJECT",
        "properties": {"name": {"type": "STRING"}, "count": {"type": "INTEGER"}},
        "required": ["name", "count"],
    }
    config = {"response_mime_type": "application/json", "response_schema": schema}
    request: Any = {"contents": [{"parts": [{"text": "List"}], "role": "user"}], "config": config}

    job = _ended(client, client.batches.create(model=MODEL, src=[request]).name)

    assert job.dest is not None
    assert job.dest.inlined_responses is not None
    response = job.dest.inlined_responses[0].response
    assert response is not None
    made = json.loads(response.text or "")
    assert isinstance(made["name"], str)
    assert isinstance(made["count"], int)


def test_a_file_of_requests(client: genai.Client, tmp_path: Path) -> None:
    """Upload, create from the file, wait, download the result file, delete everything."""
    path = _write(
        tmp_path / "in.jsonl",
        [
            {"key": f"r-{n}", "request": {"contents": [{"parts": [{"text": f"Question {n}"}]}]}}
            for n in range(20)
        ],
    )

    uploaded = client.files.upload(
        file=path, config=types.UploadFileConfig(display_name="mine", mime_type="jsonl")
    )
    assert uploaded.name is not None
    created = client.batches.create(model=MODEL, src=uploaded.name, config={"display_name": "f"})
    job = _ended(client, created.name)
    assert job.dest is not None
    assert job.dest.file_name is not None
    data = client.files.download(file=job.dest.file_name)

    assert uploaded.state == types.FileState.ACTIVE
    assert uploaded.source == types.FileSource.UPLOADED
    assert uploaded.size_bytes == path.stat().st_size
    assert uploaded.mime_type == "jsonl"
    lines = [json.loads(line) for line in data.decode().split("\n") if line]
    assert [line["key"] for line in lines] == [f"r-{n}" for n in range(20)]
    answer = types.GenerateContentResponse.model_validate(lines[3]["response"])
    assert answer.text is not None
    assert "Question 3" in answer.text
    assert client.files.get(name=uploaded.name).sha256_hash == uploaded.sha256_hash
    assert created.name is not None
    client.batches.delete(name=created.name)
    client.files.delete(name=uploaded.name)
    with pytest.raises(errors.ClientError) as deleted:
        client.files.get(name=uploaded.name)
    with pytest.raises(errors.ClientError) as gone:
        client.batches.get(name=created.name)
    with pytest.raises(errors.ClientError) as output:
        client.files.download(file=job.dest.file_name)
    assert (deleted.value.code, deleted.value.status) == (403, "PERMISSION_DENIED")
    assert (gone.value.code, gone.value.status) == (404, "NOT_FOUND")
    assert output.value.code == 404


def test_a_file_of_many_chunks(base: str, tmp_path: Path) -> None:
    """An upload of more than one 8 MiB chunk arrives whole."""
    client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=base))
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(range(256)) * 70_000)

    uploaded = client.files.upload(
        file=path, config=types.UploadFileConfig(mime_type="application/octet-stream")
    )

    assert uploaded.size_bytes == 256 * 70_000


def test_embeddings_inline_and_by_file(client: genai.Client, tmp_path: Path) -> None:
    """Embedding batches in both modes have the asked dimensionality."""
    contents: list[Any] = ["a", "b", "c"]
    batch = types.EmbedContentBatch(
        contents=contents, config=types.EmbedContentConfig(output_dimensionality=4)
    )
    created = client.batches.create_embeddings(
        model="gemini-embedding-001",
        src=types.EmbeddingsBatchJobSource(inlined_requests=batch),
        config={"display_name": "e"},
    )
    job = _ended(client, created.name)
    path = _write(
        tmp_path / "embed.jsonl",
        [
            {
                "key": "k",
                "request": {"output_dimensionality": 3, "content": {"parts": [{"text": "1"}]}},
            }
        ],
    )
    uploaded = client.files.upload(file=path, config=types.UploadFileConfig(mime_type="jsonl"))
    from_file = client.batches.create_embeddings(
        model="gemini-embedding-001", src=types.EmbeddingsBatchJobSource(file_name=uploaded.name)
    )
    file_job = _ended(client, from_file.name)

    assert job.dest is not None
    assert job.dest.inlined_embed_content_responses is not None
    for item in job.dest.inlined_embed_content_responses:
        assert item.response is not None
        assert item.response.embedding is not None
        assert item.response.embedding.values is not None
        assert len(item.response.embedding.values) == 4
    assert file_job.dest is not None
    assert file_job.dest.file_name is not None
    [line] = client.files.download(file=file_job.dest.file_name).decode().splitlines()
    assert len(json.loads(line)["response"]["embedding"]["values"]) == 3


def test_list_and_cancel(client: genai.Client) -> None:
    """Jobs and files are listed through the SDK's pagers; a cancelled job reads CANCELLED."""
    request: Any = {"contents": [{"parts": [{"text": "x"}], "role": "user"}]}
    names = [client.batches.create(model=MODEL, src=[request]).name for _ in range(5)]
    assert names[0] is not None
    client.batches.cancel(name=names[0])

    listed = [job.name for job in client.batches.list(config={"page_size": 2})]
    ended = _ended(client, names[0])

    assert listed == list(reversed(names))
    assert ended.state == types.JobState.JOB_STATE_CANCELLED
    assert list(client.files.list(config={"page_size": 3})) == []


def test_errors_are_the_service_s(client: genai.Client) -> None:
    """Unknown model, unknown field, bad line: the SDK raises what it raises for the service."""
    request: Any = {"contents": [{"parts": [{"text": "x"}], "role": "user"}]}

    with pytest.raises(errors.ClientError) as model:
        client.batches.create(model="gemini-0", src=[request])
    with pytest.raises(errors.ClientError) as file:
        client.batches.create(model=MODEL, src="files/nobody")
    with pytest.raises(errors.ClientError) as batch:
        client.batches.cancel(name="batches/nobody")

    assert (model.value.code, model.value.status) == (404, "NOT_FOUND")
    assert file.value.code == 403
    assert batch.value.code == 404


def test_failed_rows_and_quota(tmp_path: Path) -> None:
    """Error items parse, and a 429 at create is a ClientError with the service's text."""
    plan = QUICK + '[[fault]]\ndo = "row_error"\ncode = 13\nmessage = "no"\nkey = "b"\n'
    plan += '[[fault]]\ndo = "quota"\nnth = 2\n'
    request: Any = {"contents": [{"parts": [{"text": "x"}]}], "metadata": {"key": "b"}}
    with served(tmp_path, plan) as url:
        client = genai.Client(api_key="k", http_options=types.HttpOptions(base_url=url))
        job = _ended(client, client.batches.create(model=MODEL, src=[request]).name)
        with pytest.raises(errors.ClientError) as over:
            client.batches.create(model=MODEL, src=[request])

    assert job.dest is not None
    assert job.dest.inlined_responses is not None
    assert job.dest.inlined_responses[0].error is not None
    assert job.dest.inlined_responses[0].error.code == 13
    assert (over.value.code, over.value.status) == (429, "RESOURCE_EXHAUSTED")
    assert over.value.message is not None
    assert over.value.message.startswith("You exceeded your current quota")


async def test_the_async_client(base: str, tmp_path: Path) -> None:
    """The asynchronous half of the SDK does the same."""
    import asyncio

    client = genai.Client(api_key="async", http_options=types.HttpOptions(base_url=base)).aio
    path = _write(
        tmp_path / "in.jsonl",
        [{"key": "a", "request": {"contents": [{"parts": [{"text": "hello"}]}]}}],
    )
    uploaded = await client.files.upload(
        file=path, config=types.UploadFileConfig(mime_type="application/jsonl")
    )
    assert uploaded.name is not None
    job = await client.batches.create(model=MODEL, src=uploaded.name)
    assert job.name is not None
    while not job.done:
        await asyncio.sleep(0.05)
        job = await client.batches.get(name=str(job.name))
    assert job.dest is not None
    data = await client.files.download(file=str(job.dest.file_name))

    assert json.loads(data)["key"] == "a"
    await client.aclose()


def test_models_and_interactive_calls(client: genai.Client) -> None:
    """Models say that they batch; an interactive call is answered too."""
    listed = [model.name for model in client.models.list()]
    model = client.models.get(model=MODEL)
    answer = client.models.generate_content(model=MODEL, contents="hello")
    vector = client.models.embed_content(model="gemini-embedding-001", contents="hello")

    assert f"models/{MODEL}" in listed
    assert model.supported_actions is not None
    assert "batchGenerateContent" in model.supported_actions
    assert answer.text is not None
    assert answer.text.startswith("[emulator]")
    assert vector.embeddings is not None
    assert vector.embeddings[0].values is not None
    assert len(vector.embeddings[0].values) == 3072


def test_webhooks(client: genai.Client) -> None:
    """Webhooks are made, listed, changed, rotated, pinged and deleted."""
    made = client.webhooks.create(
        name="w", uri="http://127.0.0.1:9/hook", subscribed_events=["batch.succeeded"]
    )
    assert made.id is not None
    client.webhooks.update(made.id, uri="http://127.0.0.1:9/other")
    rotated = client.webhooks.rotate_signing_secret(made.id)
    client.webhooks.ping(made.id)
    listed = client.webhooks.list().webhooks
    client.webhooks.delete(made.id)
    left = client.webhooks.list().webhooks

    assert made.new_signing_secret is not None
    assert rotated.secret != made.new_signing_secret
    assert [hook.uri for hook in listed or []] == ["http://127.0.0.1:9/other"]
    assert not left
