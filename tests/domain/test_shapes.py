import json

import google.genai.types as sdk
import pytest

from orchestrator.domain import fields
from orchestrator.domain.placing import camel
from orchestrator.domain.shapes import Checker

HI = [{"role": "user", "parts": [{"text": "hi"}]}]


def finding(request, kind="generate"):
    return Checker(kind).finding(json.dumps(request).encode())


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        (sdk.Part, fields.PART),
        (sdk.Tool, fields.TOOL),
        (sdk.GenerationConfig, fields.GENERATION_CONFIG),
        (sdk.ThinkingConfig, fields.GENERATION_CONFIG["thinkingConfig"]),
        (sdk.FunctionDeclaration, fields.TOOL["functionDeclarations"][0]),
        (sdk.FunctionCallingConfig, fields.GENERATE["toolConfig"]["functionCallingConfig"]),
        (sdk.ToolConfig, fields.GENERATE["toolConfig"]),
    ],
)
def test_every_field_of_the_official_sdk_is_known(message, shape):
    """No field that the SDK's types have is called unknown."""
    assert {camel(name) for name in message.model_fields} <= set(shape)


@pytest.mark.parametrize(
    "request_",
    [
        {"contents": HI},
        {"contents": HI, "system_instruction": {"parts": [{"text": "x"}]}, "tools": []},
        {"contents": HI, "generation_config": {"temperature": 1, "thinking_config": None}},
        {"contents": HI, "tools": [{"google_search": {}}], "safetySettings": []},
        {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"x": [1]}}}]}]},
        {"contents": HI, "generationConfig": {"responseSchema": {"type": "OBJECT", "x": 1}}},
    ],
)
def test_right_requests_have_no_finding(request_):
    """Requests as the service takes them pass, in both spellings."""
    assert finding(request_) is None


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (
            {"contents": HI, "generationConfig": {"temprature": 1}},
            'unknown field "temprature" in generationConfig; did you mean "temperature"?',
        ),
        (
            {"contents": HI, "thinking_config": {}},
            'unknown field "thinking_config"; it belongs in generationConfig',
        ),
        ({"contents": HI, "sytem_instruction": {}}, 'did you mean "systemInstruction"?'),
        (
            {"contents": [{"role": "assistant", "parts": []}]},
            "contents[].role has the unknown value 'assistant'; known are user, model, function",
        ),
        (
            {"contents": HI, "safetySettings": [{"category": "HATE_SPEECH"}]},
            'did you mean "HARM_CATEGORY_HATE_SPEECH"?',
        ),
        ({"contents": [{"parts": [{"text": 1}]}]}, "contents[].parts[].text: expected `str"),
        ({"contents": [{"text": "hi"}]}, '"text" in contents[]; it belongs in contents[].parts[]'),
    ],
)
def test_wrong_requests_are_explained(request_, words):
    """Misspelt, misplaced and mistyped fields are told with what was probably meant."""
    assert words in finding(request_)


def test_embedding_requests_have_their_own_shape():
    """Embedding fields are known where they belong."""
    content = {"parts": [{"text": "x"}]}

    assert finding({"content": content, "task_type": "CLUSTERING"}, "embed") is None
    assert 'did you mean "CLUSTERING"' in finding(
        {"content": content, "taskType": "CLUSTER"}, "embed"
    )
    assert "unknown field" in finding({"content": content, "temperature": 1}, "embed")
