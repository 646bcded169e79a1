"""What a create answers, and what it refuses, word for word."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.world import (
    EMBEDDING,
    FLASH,
    World,
    inline,
    jsonl,
    line,
    prompt,
    unknown,
    world,
)

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z\Z")
TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main."


async def test_an_inline_create_answers_a_pending_operation_and_echoes_nothing(
    there: World,
) -> None:
    """An inline create answers 200, PENDING, without `done` and without its requests."""
    body = inline(
        {"request": prompt("one"), "metadata": {"key": "a"}},
        {"request": prompt("two"), "metadata": {"key": "b"}},
        {"request": prompt("three")},
        name="my batch",
    )

    answer = await there.call("POST", FLASH, body)

    shown = answer.json
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=UTF-8"
    assert re.fullmatch(r"batches/[a-z0-9]{36}", shown["name"])
    stamp = shown["metadata"]["createTime"]
    assert STAMP.match(stamp)
    assert shown == {
        "name": shown["name"],
        "metadata": {
            "@type": TYPE + "GenerateContentBatch",
            "model": "models/gemini-2.5-flash",
            "displayName": "my batch",
            "createTime": stamp,
            "updateTime": stamp,
            "batchStats": {"requestCount": "3", "pendingRequestCount": "3"},
            "state": "BATCH_STATE_PENDING",
            "name": shown["name"],
        },
    }


@pytest.mark.parametrize("version", ["v1beta", "v1", "v1alpha"])
async def test_a_file_create_echoes_the_file_in_every_version(there: World, version: str) -> None:
    """A file create answers like an inline one, with the input's name, in every version."""
    file = await there.upload(jsonl([line("a"), line("b")]))
    body = {"batch": {"display_name": "mixed", "input_config": {"file_name": file["name"]}}}

    answer = await there.call("POST", FLASH.replace("v1beta", version), body)

    metadata = answer.json["metadata"]
    assert metadata["inputConfig"] == {"fileName": file["name"]}
    assert metadata["displayName"] == "mixed"
    assert metadata["batchStats"] == {"requestCount": "2", "pendingRequestCount": "2"}
    assert "done" not in answer.json


async def test_an_embedding_create_has_its_own_type(there: World) -> None:
    """An embedding create answers with an EmbedContentBatch; the display name may be missing."""
    body = inline({"request": {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 3}})

    answer = await there.call("POST", EMBEDDING, body)

    assert answer.json["metadata"]["@type"] == TYPE + "EmbedContentBatch"
    assert "displayName" not in answer.json["metadata"]


async def test_official_request_bodies_are_taken_as_they_are(there: World) -> None:
    """A body with every spelling that the official clients mix is accepted."""
    request = {
        **prompt("hi"),
        "systemInstruction": {"parts": [{"text": "sys"}], "role": "user"},
        "tools": [{"googleSearch": {}}],
        "cachedContent": "cachedContents/x",
        "serviceTier": "flex",
        "safety_settings": [],
        "generationConfig": {
            "temperature": 0.5,
            "responseMimeType": "application/json",
            "responseSchema": {"type": "object", "properties": {"a": {"type": "STRING"}}},
            "thinkingConfig": {"thinking_budget": 0, "includeThoughts": True},
        },
    }
    body = inline({"request": request, "metadata": {"key": "k1"}}, name="d")
    body["batch"]["webhookConfig"] = {"uris": ["https://h"], "user_metadata": {"a": 1}}
    body["batch"]["priority"] = "-5"

    answer = await there.call("POST", FLASH, body)

    assert answer.status == 200, answer.body
    assert answer.json["metadata"]["priority"] == "-5"


async def test_single_quotes_as_the_guide_sends_them_are_tolerated(there: World) -> None:
    """The guide's own single-quoted JSON is read."""
    body = b"""{'batch': {'display_name': 'my', 'input_config': {'requests': {'requests': [
        {'request': {'contents': [{'parts': [{'text': "it's fine"}]}]}, 'metadata': {'key': 'a'}}
        ]}}}}"""

    answer = await there.call("POST", FLASH, body)

    assert answer.status == 200, answer.body


PLACE = "batch.input_config.requests.requests[0].request"
UNKNOWN = "Invalid JSON payload received. Unknown name"
CATEGORY = "type.googleapis.com/google.ai.generativelanguage.v1beta.HarmCategory"
SINGLE = "Proto field is not repeating, cannot start list."
TAKEN = "oneof field 'data' is already set. Cannot set 'fileData'"
TWO = {"contents": [{"parts": [{"text": "a", "fileData": {}}]}]}
REFUSED_BODIES: list[tuple[Any, str]] = [
    ({"batch": {"x": 1}}, f"{UNKNOWN} \"x\" at 'batch': Cannot find field."),
    ({"x": 1}, f'{UNKNOWN} "x": Cannot find field.'),
    (
        inline({"request": {"contents": [], "config": {}}}),
        f"{UNKNOWN} \"config\" at '{PLACE}': Cannot find field.",
    ),
    (
        inline({"request": prompt("a", generationConfig={"temperature": "hot"})}),
        f"Invalid value at '{PLACE}.generation_config.temperature' (TYPE_FLOAT), \"hot\"",
    ),
    (
        inline({"request": prompt("a", systemInstruction=[])}),
        f"{UNKNOWN} \"systemInstruction\" at '{PLACE}': {SINGLE}",
    ),
    (
        inline({"request": prompt("a", safetySettings=[{"category": "RUDE"}])}),
        f"Invalid value at '{PLACE}.safety_settings[0].category' ({CATEGORY}), \"RUDE\"",
    ),
    (
        inline({"request": TWO}),
        f"Invalid value at '{PLACE}.contents[0].parts[0]' (oneof), {TAKEN}",
    ),
]


@pytest.mark.parametrize(("body", "text"), REFUSED_BODIES)
async def test_a_body_that_does_not_fit_is_refused_in_the_service_s_words(
    there: World, body: Any, text: str
) -> None:
    """A body that does not fit its message type is a 400 that names the field; no job is made."""
    answer = await there.call("POST", FLASH, body)

    assert answer.status == 400
    assert answer.json["error"]["status"] == "INVALID_ARGUMENT"
    assert answer.message == text
    violations = answer.json["error"]["details"][0]["fieldViolations"]
    assert [violation["description"] for violation in violations] == [text]
    assert not there.emulator.jobs.jobs


REFUSED_LINES: list[tuple[bytes, bytes | None, str]] = [
    (b'{"contents":[]}', None, "No request specified"),
    (b'{"request":null}', None, "No request specified"),
    (
        b'{"key": "a", "request": {"contents": [], "thinking_config": {"thinking_budget": 0}}}',
        b'"thinking_config":',
        "no such field: 'thinking_config'",
    ),
    (
        b'{"request":{"contents":[{"parts":[{"text":"b"},{"texts":"a"}]}]}}',
        b'"texts":',
        "no such field: 'texts'",
    ),
    (b'{"request":{},"key":5}', b'"key":', "invalid value for string: 5"),
]


@pytest.mark.parametrize(("bad", "place", "text"), REFUSED_LINES)
async def test_one_flawed_line_refuses_the_whole_file(
    there: World, bad: bytes, place: bytes | None, text: str
) -> None:
    """One bad line among good ones is a 400 that names its number and column; no job is made."""
    file = await there.upload(jsonl([line("a"), bad, line("b")]))
    body = {"batch": {"inputConfig": {"fileName": file["name"]}}}

    answer = await there.call("POST", FLASH, body)

    where = ""
    if place is not None:
        where = f"invalid JSON, near column {bad.index(place) + len(place) + 1}: "
    assert answer.status == 400
    assert answer.message == f"Error on line 2: {where}{text}"
    assert not there.emulator.jobs.jobs


async def test_every_flawed_line_is_named(there: World) -> None:
    """Several unreadable lines are listed, each on a line of its own, before any other flaw."""
    wrong = {"request": {"temperature": 1}}
    file = await there.upload(jsonl([wrong, line("k"), b"", b"{", {"no": "request"}, wrong]))

    answer = await there.call("POST", FLASH, {"batch": {"inputConfig": {"fileName": file["name"]}}})

    assert [text.split(":")[0] for text in answer.message.split("\n")] == [
        "Error on line 1",
        "Error on line 4",
        "Error on line 6",
    ]


async def test_duplicate_keys_and_a_missing_last_newline_are_fine(there: World) -> None:
    """The same key twice is accepted and answered twice, with or without a final newline."""
    data = jsonl([line("a"), line("a"), line("b")]).rstrip(b"\n")
    file = await there.upload(data)

    job = await there.create_of(file["name"])

    assert [item["key"] for item in await there.results(job)] == ["a", "a", "b"]


async def test_unknown_models_and_methods_are_not_found(there: World) -> None:
    """A model that is unknown, or cannot do batches of this kind, is a 404."""
    body = inline({"request": prompt("a")})
    paths = [
        FLASH.replace("gemini-2.5-flash", "gemini-9"),
        FLASH.replace("gemini-2.5-flash", "gemini-embedding-001"),
        EMBEDDING.replace("gemini-embedding-001", "gemini-2.5-flash"),
        FLASH.replace("gemini-2.5-flash", "imagen-4.0-generate-001"),
    ]

    answers = [await there.call("POST", path, body) for path in paths]

    assert [answer.status for answer in answers] == [404] * 4
    assert answers[0].json["error"]["status"] == "NOT_FOUND"
    assert "models/gemini-9 is not found for API version v1beta" in answers[0].message


async def test_input_files_must_be_there_and_active(there: World) -> None:
    """A missing input is a 403, one that is still processed a 400 FAILED_PRECONDITION."""
    there.spoil("processing", seconds=30, nth=1)
    file = await there.upload(jsonl([line("a")]))
    missing = {"batch": {"inputConfig": {"fileName": "files/nobody"}}}
    busy = {"batch": {"inputConfig": {"fileName": file["name"]}}}

    gone, early = await there.call("POST", FLASH, missing), await there.call("POST", FLASH, busy)
    there.emulator.advance(31)
    later = await there.call("POST", FLASH, busy)

    assert (gone.status, gone.json["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert gone.message == (
        "You do not have permission to access the File nobody or it may not exist."
    )
    assert (early.status, early.json["error"]["status"]) == (400, "FAILED_PRECONDITION")
    id_ = file["name"].removeprefix("files/")
    assert early.message == f"The File {id_} is not in an ACTIVE state and usage is not allowed."
    assert later.status == 200


async def test_an_empty_batch_and_one_without_input_are_refused(there: World) -> None:
    """No requests, no input, no batch: each is a 400."""
    file = await there.upload(b"\n")
    bodies: list[Any] = [
        {},
        {"batch": {}},
        inline(),
        inline({"metadata": {}}),
        {"batch": {"inputConfig": {"fileName": file["name"]}}},
        {"batch": {"inputConfig": {"fileName": "nofolder"}}},
    ]

    answers = [await there.call("POST", FLASH, body) for body in bodies]

    assert [answer.status for answer in answers] == [400] * len(bodies)


async def test_too_large_a_body_is_refused(there: World) -> None:
    """An inline body over 20 MB is refused."""
    body = inline(*({"request": prompt("x" * 1_000_000)} for _ in range(21)))

    answer = await there.call("POST", FLASH, body)

    assert answer.status == 400
    assert "payload size exceeds the limit" in answer.message


async def test_keys_are_checked_as_the_service_does(tmp_path: Path, there: World) -> None:
    """An unknown or revoked key is a 400 with its reason, none at all a 403."""
    there.emulator.revoke("old")

    revoked = await there.call("GET", "/v1beta/batches", key="old")
    none = await there.call("GET", "/v1beta/batches", key=None)
    in_query = await there.call("GET", "/v1beta/batches?key=any", key=None)

    assert revoked.status == 400
    assert revoked.message == "API key not valid. Please pass a valid API key."
    details = revoked.json["error"]["details"]
    assert details[0]["reason"] == "API_KEY_INVALID"
    assert details[0]["metadata"] == {"service": "generativelanguage.googleapis.com"}
    assert details[1]["locale"] == "en-US"
    assert (none.status, none.json["error"]["status"]) == (403, "PERMISSION_DENIED")
    assert (in_query.status, in_query.json) == (200, {})
    async with world(tmp_path / "other", unknown(revoked_key_status=401)) as other:
        other.emulator.revoke("old")
        assert (await other.call("GET", "/v1beta/batches", key="old")).status == 401
