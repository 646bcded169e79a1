"""What jobs answer: lines, inline items, embeddings, their order and their errors."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from orchestrator.emulator.rows import body_digest
from tests.emulator.world import EMBEDDING, FLASH, World, inline, line, prompt, unknown, world


async def test_a_line_pairs_with_its_request(there: World) -> None:
    """An answer bears the key, the digest of the request's very bytes, and an excerpt of it."""
    raw = b'{"contents":[{"parts":[{"text":"What is the capital of Mali?"}]}]}'
    job = await there.create([b'{"key": "r-1", "request": ' + raw + b"}"])

    [item] = await there.results(job)

    response = item["response"]
    [candidate] = response["candidates"]
    text = candidate["content"]["parts"][0]["text"]
    assert item.keys() == {"key", "response"}
    assert item["key"] == "r-1"
    assert text.startswith("[emulator] ")
    assert body_digest(raw).hex()[:16] in text
    assert "What is the capital of Mali?" in text
    assert candidate["content"]["role"] == "model"
    assert (candidate["finishReason"], candidate["index"]) == ("STOP", 0)
    assert response["modelVersion"] == "gemini-2.5-flash"
    usage = response["usageMetadata"]
    assert usage["promptTokenCount"] == 7
    assert usage["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": 7}]
    parts = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    assert usage["totalTokenCount"] == sum(usage[name] for name in parts)
    assert all(isinstance(usage[name], int) for name in parts)


async def test_the_identity_is_echoed_as_it_was_given(there: World) -> None:
    """Key, metadata, both or neither: each line comes back with what it had."""
    lines = [
        {"key": "k", "request": prompt("a")},
        {"request": prompt("b"), "metadata": {"key": "m", "more": [1, {"x": "y"}]}},
        {"key": "both", "metadata": {"a": 1}, "request": prompt("c")},
        {"request": prompt("d"), "custom_id": "ignored"},
    ]
    job = await there.create(lines)

    results = await there.results(job)

    assert [item.keys() - {"response"} for item in results] == [
        {"key"},
        {"metadata"},
        {"key", "metadata"},
        set(),
    ]
    assert results[1]["metadata"] == {"key": "m", "more": [1, {"x": "y"}]}


async def test_the_same_request_is_answered_the_same(there: World, tmp_path: Path) -> None:
    """Equal bodies have equal answers, in any job and any emulator; others have others."""
    job = await there.create([line("a", "one"), line("b", "one"), line("c", "two")])
    async with world(tmp_path / "other") as other:
        again = await other.results(await other.create([line("z", "one")]))

    one, same, two = await there.results(job)

    assert one["response"] == same["response"] == again[0]["response"]
    assert one["response"] != two["response"]


async def test_key_order_varies_and_every_line_ends(there: World) -> None:
    """Keys inside lines come in several orders, `key` usually last; the last line ends too."""
    job = await there.create([line(str(number)) for number in range(50)])

    data = await there.output(job)

    orders = {tuple(json.loads(text)["response"]) for text in data.splitlines()}
    last = [list(json.loads(text))[-1] for text in data.splitlines()]
    assert len(orders) > 1
    assert last.count("key") > 25
    assert data.endswith(b"}\n")


async def test_inline_answers_come_twice_under_a_doubled_name(there: World) -> None:
    """Inline results are in `response` and in `metadata.output`, in order, with their metadata."""
    body = inline({"request": prompt("a"), "metadata": {"key": "req_1"}}, {"request": prompt("b")})
    job = (await there.call("POST", FLASH, body)).json["name"]
    there.emulator.advance(3600)

    ended = await there.get(job)

    items = ended["response"]["inlinedResponses"]["inlinedResponses"]
    assert ended["metadata"]["output"]["inlinedResponses"]["inlinedResponses"] == items
    assert items[0]["metadata"] == {"key": "req_1"}
    assert "metadata" not in items[1]
    assert "inputConfig" not in ended["metadata"]


async def test_embeddings_have_the_asked_size_and_about_unit_length(there: World) -> None:
    """Each line has its own dimensionality; the model's own is 3072."""
    requests: list[dict[str, Any]] = [
        {"content": {"parts": [{"text": "1"}]}, "output_dimensionality": 3},
        {"content": {"parts": [{"text": "1"}]}, "embedContentConfig": {"outputDimensionality": 64}},
        {"content": {"parts": [{"text": "1"}]}},
    ]
    lines = [{"key": str(n), "request": request} for n, request in enumerate(requests)]
    job = await there.create(lines, path=EMBEDDING)

    results = await there.results(job)

    vectors = [item["response"]["embedding"]["values"] for item in results]
    assert [len(vector) for vector in vectors] == [3, 64, 3072]
    assert math.isclose(math.hypot(*vectors[2]), 1, rel_tol=0.1)
    assert results[0]["response"]["usageMetadata"] == {"promptTokenCount": 1}


@pytest.mark.parametrize(
    ("style", "expected"),
    [("tokenCount", {"tokenCount": "1"}), ("absent", {})],
)
async def test_embedding_usage_has_worn_three_dresses(
    tmp_path: Path, style: str, expected: dict[str, str]
) -> None:
    """The token count of embeddings can be an int64 text, or missing, as recordings had it."""
    async with world(tmp_path, unknown(embed_usage=style, embed_type_output=False)) as there:
        request = {"content": {"parts": [{"text": "1"}]}}
        body = inline({"request": request, "metadata": {"key": "a"}})
        job = (await there.call("POST", EMBEDDING, body)).json["name"]
        there.emulator.advance(3600)
        ended = await there.get(job)

    [item] = ended["response"]["inlinedResponses"]["inlinedResponses"]
    assert item["response"].keys() - {"embedding"} == expected.keys()
    assert ended["response"]["@type"].endswith(".EmbedContentBatch")


SCHEMA: dict[str, Any] = {
    "type": "OBJECT",
    "properties": {
        "name": {"type": "STRING", "maxLength": "5"},
        "mood": {"type": "STRING", "enum": ["good", "bad"]},
        "score": {"type": "INTEGER", "minimum": 3, "maximum": 4},
        "tags": {"type": "ARRAY", "items": {"type": "STRING"}, "minItems": "2"},
    },
    "required": ["name", "mood", "score", "tags"],
}
JSON_SCHEMA = {
    "type": "object",
    "properties": {"who": {"$ref": "#/$defs/person"}, "n": {"type": ["integer", "null"]}},
    "required": ["who", "n"],
    "additionalProperties": False,
    "$defs": {
        "person": {
            "type": "object",
            "properties": {"name": {"type": "string", "minLength": 40}},
            "required": ["name"],
        }
    },
}


@pytest.mark.parametrize(
    ("config", "schema"),
    [
        ({"responseSchema": SCHEMA}, None),
        ({"response_json_schema": JSON_SCHEMA}, JSON_SCHEMA),
        ({"responseJsonSchema": JSON_SCHEMA}, JSON_SCHEMA),
        ({"_responseJsonSchema": JSON_SCHEMA}, JSON_SCHEMA),
    ],
)
async def test_a_schema_is_answered_with_an_instance(
    there: World, config: dict[str, Any], schema: dict[str, Any] | None
) -> None:
    """JSON by schema is an instance that validates against it."""
    config = {"responseMimeType": "application/json", **config}
    job = await there.create([line("a", generationConfig=config)])

    [item] = await there.results(job)

    made = json.loads(item["response"]["candidates"][0]["content"]["parts"][0]["text"])
    if schema is not None:
        jsonschema.validate(made, schema)
    else:
        assert list(made) == ["name", "mood", "score", "tags"]
        assert len(made["name"]) <= 5
        assert made["mood"] in {"good", "bad"}
        assert made["score"] in {3, 4}
        assert len(made["tags"]) >= 2


async def test_a_response_format_asks_for_json_too(there: World) -> None:
    """`responseFormat.text` with a schema is answered with an instance of it."""
    text = {"mimeType": "APPLICATION_JSON", "schema": JSON_SCHEMA}
    job = await there.create([line("a", generationConfig={"responseFormat": {"text": text}})])

    [item] = await there.results(job)

    made = json.loads(item["response"]["candidates"][0]["content"]["parts"][0]["text"])
    jsonschema.validate(made, JSON_SCHEMA)


async def test_a_demanded_function_is_called(there: World) -> None:
    """Mode ANY is answered with a call of an allowed function and arguments of its schema."""
    declared = [
        {"name": "other"},
        {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    ]
    config = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}
    request = prompt("x", tools=[{"functionDeclarations": declared}], toolConfig=config)
    job = await there.create([{"request": request}])

    [item] = await there.results(job)

    call = item["response"]["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert call["name"] == "weather"
    assert call["args"].keys() == {"city"}


async def test_limits_on_the_answer_are_kept(there: World) -> None:
    """maxOutputTokens cuts with MAX_TOKENS, stop sequences stop, candidates are as many as
    asked.
    """
    job = await there.create(
        [
            line("cut", generationConfig={"maxOutputTokens": 3}),
            line("stop", generationConfig={"stop_sequences": ["]"]}),
            line("many", generationConfig={"candidateCount": 2}),
            line("thought", generationConfig={"thinkingConfig": {"includeThoughts": True}}),
            line("quick", generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
        ]
    )

    cut, stop, many, thought, quick = [item["response"] for item in await there.results(job)]

    assert cut["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert len(cut["candidates"][0]["content"]["parts"][0]["text"]) == 12
    assert stop["candidates"][0]["content"]["parts"][0]["text"] == "[emulator"
    assert [candidate["index"] for candidate in many["candidates"]] == [0, 1]
    assert thought["candidates"][0]["content"]["parts"][0]["thought"] is True
    assert "thoughtsTokenCount" not in quick["usageMetadata"]


async def test_prompts_can_steer_their_answer(there: World) -> None:
    """Words in a prompt ask for a block, a safety stop, a cut, or an error."""
    job = await there.create(
        [
            line("block", "EMULATOR:BLOCK"),
            line("safety", "EMULATOR:SAFETY"),
            line("cut", "EMULATOR:MAX_TOKENS"),
            line("error", "EMULATOR:ERROR=7"),
        ]
    )

    block, safety, cut, error = await there.results(job)
    stats = (await there.get(job))["metadata"]["batchStats"]

    assert "candidates" not in block["response"]
    assert block["response"]["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"
    assert safety["response"]["candidates"][0]["finishReason"] == "SAFETY"
    assert cut["response"]["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert error["error"]["code"] == 7
    assert stats == {
        "requestCount": "4",
        "successfulRequestCount": "3",
        "failedRequestCount": "1",
    }


async def test_what_only_running_finds_is_an_error_of_its_row(there: World) -> None:
    """A request that parses but makes no sense fails alone, with code 3."""
    job = await there.create(
        [
            {"key": "none", "request": {"contents": []}},
            line("mcp", tools=[{"mcpServers": [{"name": "x"}]}]),
            line("schema", generationConfig={"responseSchema": {"type": "STRING"}}),
            line("fine"),
        ]
    )

    results = await there.results(job)

    assert [item.get("error", {}).get("code") for item in results] == [3, 3, 3, None]


async def test_images_are_answered_as_inline_data(there: World) -> None:
    """A model asked for images answers a picture beside the text."""
    request = line("a", generationConfig={"responseModalities": ["TEXT", "IMAGE"]})
    job = await there.create([request])

    [item] = await there.results(job)

    parts = item["response"]["candidates"][0]["content"]["parts"]
    assert parts[1]["inlineData"]["mimeType"] == "image/png"


async def test_open_questions_about_lines_can_be_answered_otherwise(tmp_path: Path) -> None:
    """Errors under `status` with details, unknown fields echoed, line models honoured or
    refused.
    """
    settings = unknown(
        error_field="status",
        error_details=True,
        echo_unknown_line_fields=True,
        line_model="honoured",
    )
    async with world(tmp_path / "a", settings) as there:
        job = await there.create(
            [
                {"custom_id": "c", **line("x", model="models/gemini-9")},
                line("y", "EMULATOR:ERROR=3"),
            ]
        )
        first, second = await there.results(job)
    async with world(tmp_path / "b", unknown(line_model="refused")) as there:
        file = await there.upload(json.dumps(line("x", model="models/gemini-9")).encode())
        body = {"batch": {"inputConfig": {"fileName": file["name"]}}}
        refused = await there.call("POST", FLASH, body)

    assert first["custom_id"] == "c"
    assert first["response"]["modelVersion"] == "gemini-9"
    assert second["status"]["code"] == 3
    assert second["status"]["details"]
    assert refused.status == 400


async def test_downloads_need_not_be_the_same_bytes(tmp_path: Path) -> None:
    """Where the service is like that, two downloads differ in bytes but not in meaning."""
    async with world(tmp_path, unknown(output_bytes_stable=False)) as there:
        job = await there.create([line(str(number)) for number in range(20)])

        one, two = await there.output(job), await there.output(job)

    assert one != two
    assert [json.loads(x) for x in one.splitlines()] == [json.loads(x) for x in two.splitlines()]
