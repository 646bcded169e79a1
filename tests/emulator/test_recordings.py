"""Exchanges recorded with the real service in January 2026, played again: same bytes in, same shape
out.

Names, times and what a model said differ; everything else is compared field by field.
"""

import json
import re
from typing import Any

from tests.emulator.world import EMBEDDING, FLASH, World, inline

CITIES = (("Mali", "request-001"), ("Germany", "request-002"), ("Spain", "request-002"))
LINE = (
    '{"request":{"tools":[],"contents":[{"parts":[{"text":"What is the capital of %s?"}],'
    '"role":"user"}],"generation_config":{"response_mime_type":"text/plain"},'
    '"safety_settings":[]},"metadata":{"key":"%s"}}'
)
RECORDED_INPUT = "\n".join(LINE % city for city in CITIES).encode()
RECORDED_HASH = (
    "N2IzOWFmMmI4NDM1Mzg5MjViM2NjOGI0NGYyODVjODc5NzFhZDcxOTdkNmEyOTZiZmY5NzdmMzFjZThjNzk1MQ=="
)
BARE_EMBEDDINGS = (
    b'{"content":{"parts":[{"text":"The sky is blue"}],"role":"user"}}\n'
    b'{"content":{"parts":[{"text":"The grass is green"}],"role":"user"}}'
)
ALT_SVC = {"alt-svc": 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000'}
API_HEADERS = ALT_SVC | {
    "content-type": "application/json; charset=UTF-8",
    "server": "scaffolding on HTTPServer2",
    "transfer-encoding": "chunked",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "x-xss-protection": "0",
}
START_HEADERS = {
    "alt-svc",
    "content-length",
    "content-type",
    "server",
    "x-goog-upload-chunk-granularity",
    "x-goog-upload-control-url",
    "x-goog-upload-header-content-type",
    "x-goog-upload-header-vary",
    "x-goog-upload-header-x-google-backends",
    "x-goog-upload-header-x-google-esf-cloud-client-params",
    "x-goog-upload-header-x-google-gfe-backend-request-cost",
    "x-goog-upload-header-x-google-security-signals",
    "x-goog-upload-header-x-google-session-info",
    "x-goog-upload-status",
    "x-goog-upload-url",
    "x-guploader-uploadid",
}
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d{6}|\d{9})Z")
NAMES = re.compile(r"(files|batches)/(batch-)?[a-z0-9]+")


def _shape(value: Any) -> Any:
    """Replace what is drawn anew each time: names and times."""
    if isinstance(value, dict):
        return {name: _shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_shape(item) for item in value]
    if isinstance(value, str):
        if STAMP.fullmatch(value):
            return "TIME"
        found = NAMES.search(value)
        return value if found is None else f"{found.group(1)}/{found.group(2) or ''}ID"
    return value


async def _uploaded(there: World, data: bytes, name: str) -> str:
    headers = {
        "content-type": "application/jsonl",
        "x-goog-upload-command": "start",
        "x-goog-upload-header-content-length": str(len(data)),
        "x-goog-upload-header-content-type": "application/jsonl",
        "x-goog-upload-protocol": "resumable",
    }
    body = {"file": {"display_name": name}}
    started = await there.call("POST", "/upload/v1beta/files", body, headers=headers)
    assert started.body == b""
    assert started.headers.keys() - {"date"} == START_HEADERS
    url = started.headers["x-goog-upload-url"]
    done = await there.chunk(url, "upload, finalize", 0, data)
    assert done.headers["x-goog-upload-status"] == "final"
    assert done.headers["server"] == "UploadServer"
    assert done.headers.items() >= ALT_SVC.items()
    assert _shape(done.json) == {
        "file": {
            "name": "files/ID",
            "displayName": name,
            "mimeType": "application/jsonl",
            "sizeBytes": str(len(data)),
            "createTime": "TIME",
            "updateTime": "TIME",
            "expirationTime": "TIME",
            "sha256Hash": done.json["file"]["sha256Hash"],
            "uri": "files/ID",
            "state": "ACTIVE",
            "source": "UPLOADED",
        }
    }
    if data == RECORDED_INPUT:
        assert done.json["file"]["sha256Hash"] == RECORDED_HASH
    return str(done.json["file"]["name"])


async def test_a_small_batch_by_file(there: World) -> None:
    """Upload, create, three polls and the download, as recorded on 2026-01-24."""
    file = await _uploaded(there, RECORDED_INPUT, "Test batch")
    body = {"batch": {"display_name": "Test batch", "input_config": {"file_name": file}}}

    created = await there.call("POST", FLASH, body)
    job = f"/v1beta/{created.json['name']}"
    pending = await there.call("GET", job)
    there.emulator.advance(61)
    running = await there.call("GET", job)
    there.emulator.advance(121)
    ended = await there.call("GET", job)

    batch = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch"
    waiting: dict[str, Any] = {
        "name": "batches/ID",
        "metadata": {
            "@type": batch,
            "model": "models/gemini-2.5-flash",
            "displayName": "Test batch",
            "inputConfig": {"fileName": "files/ID"},
            "createTime": "TIME",
            "updateTime": "TIME",
            "batchStats": {"requestCount": "3", "pendingRequestCount": "3"},
            "state": "BATCH_STATE_PENDING",
            "name": "batches/ID",
        },
    }
    assert created.json == pending.json
    assert _shape(created.json) == waiting
    assert _shape(running.json) == waiting | {
        "metadata": waiting["metadata"] | {"state": "BATCH_STATE_RUNNING"}
    }
    output = {"responsesFile": "files/batch-ID"}
    assert _shape(ended.json) == {
        "name": "batches/ID",
        "metadata": waiting["metadata"]
        | {
            "state": "BATCH_STATE_SUCCEEDED",
            "batchStats": {"requestCount": "3", "successfulRequestCount": "3"},
            "endTime": "TIME",
            "output": output,
        },
        "done": True,
        "response": {"@type": f"{batch}Output", **output},
    }
    for answer in (created, pending, running, ended):
        assert answer.headers.items() >= API_HEADERS.items()
        assert answer.headers["server-timing"].startswith("gfet4t7; dur=")
    await _recorded_download(there, ended.json["response"]["responsesFile"])


async def _recorded_download(there: World, file: str) -> None:
    answer = await there.call("GET", f"/download/v1beta/{file}:download?alt=media")

    assert answer.headers["content-type"] == "application/jsonl"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers.items() >= (ALT_SVC | {"server": "UploadServer"}).items()
    assert answer.headers["cache-control"] == "private, max-age=0"
    assert answer.headers["expires"] == "Tue, 24 Nov 2026 12:03:02 GMT"
    lines = [json.loads(line) for line in answer.body.split(b"\n")[:-1]]
    assert [line["metadata"]["key"] for line in lines] == [key for _, key in CITIES]
    for line in lines:
        response = line["response"]
        assert line.keys() == {"response", "metadata"}
        assert response.keys() == {"responseId", "modelVersion", "usageMetadata", "candidates"}
        assert response["usageMetadata"].keys() == {
            "thoughtsTokenCount",
            "promptTokensDetails",
            "totalTokenCount",
            "promptTokenCount",
            "candidatesTokenCount",
        }
        [candidate] = response["candidates"]
        assert candidate.keys() == {"finishReason", "content", "index"}
        assert candidate["content"].keys() == {"role", "parts"}


async def test_embedding_lines_without_their_wrapper(there: World) -> None:
    """Bare lines are refused at create in these words, with nothing but these words."""
    file = await _uploaded(there, BARE_EMBEDDINGS, "Embeddings test batch")
    body = {"batch": {"display_name": "Embeddings", "input_config": {"file_name": file}}}

    answer = await there.call("POST", EMBEDDING, body)

    assert answer.status == 400
    assert answer.message == "Error on line 1: No request specified"
    assert answer.json["error"].keys() == {"code", "message", "status"}
    assert answer.headers.items() >= API_HEADERS.items()


async def test_inline_answers_as_recorded_in_december(there: World) -> None:
    """Three inline requests: the answer to create, without any echo of them."""
    requests = [
        {"request": {"contents": [{"parts": [{"text": text}]}]}, "metadata": {"key": key}}
        for text, key in (("a", "req_1"), ("b", "req_2"), ("c", "req_3"))
    ]
    answer = await there.call("POST", FLASH, inline(*requests, name="test-batch-job"))

    assert _shape(answer.json)["metadata"].keys() == {
        "@type",
        "model",
        "displayName",
        "createTime",
        "updateTime",
        "batchStats",
        "state",
        "name",
    }
    assert re.fullmatch(r"batches/[a-z0-9]{36}", answer.json["name"])


async def test_an_address_that_is_none(there: World) -> None:
    """A path with its version twice: 404 with an empty HTML body, as recorded on 2026-01-24."""
    answer = await there.call(
        "POST", "/v1beta/v1beta/models/gemini-2.5-flash:generateContent", {"contents": []}
    )

    plain = {name: API_HEADERS[name] for name in API_HEADERS.keys() - {"transfer-encoding"}}
    assert (answer.status, answer.body) == (404, b"")
    assert answer.headers.items() >= (plain | {"content-type": "text/html"}).items()
    assert answer.headers["content-length"] == "0"
    assert answer.headers["server-timing"].startswith("gfet4t7; dur=")
    assert "vary" not in answer.headers
