"""Properties of validation: both casings, the short way and the long way, columns, instances."""

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.emulator import answers
from orchestrator.emulator.instances import instance_of
from orchestrator.emulator.lines import LineFlaw, column_of, read_line
from orchestrator.emulator.messages import camel, enum_values, fields_of, is_message
from orchestrator.emulator.own_errors import own_error
from orchestrator.emulator.prompts import prompt_tokens
from orchestrator.emulator.quick import quick_tokens
from orchestrator.emulator.validate import check

texts = st.text(max_size=8)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
)
parts = st.fixed_dictionaries({"text": texts}) | st.dictionaries(
    st.sampled_from(["text", "thought", "inlineData", "fileData"]), junk, max_size=2
)
contents = st.fixed_dictionaries(
    {"parts": st.lists(parts, max_size=2)}, optional={"role": texts | st.none()}
)
configs = st.dictionaries(
    st.sampled_from(["temperature", "topP", "top_p", "seed", "maxOutputTokens", "responseSchema"]),
    scalars,
    max_size=3,
)
requests = st.fixed_dictionaries(
    {"contents": st.lists(contents, max_size=2) | junk},
    optional={
        "generationConfig": configs,
        "generation_config": configs,
        "systemInstruction": contents,
        "tools": junk,
    },
)


@given(requests)
@settings(max_examples=400)
def test_the_short_way_accepts_only_what_the_long_way_accepts(request: dict[str, Any]) -> None:
    """Whatever the short way takes is valid, has no error of its own, and as many tokens."""
    tokens = quick_tokens(json.dumps(request).encode(), "generate")

    if tokens is not None:
        assert check(request, "GenerateContentRequest") == []
        assert own_error(request, "generate") is None
        assert tokens == prompt_tokens(request, "generate")


@given(st.fixed_dictionaries({"content": contents | junk}, optional={"title": junk}))
def test_the_short_way_of_embeddings_agrees_too(request: dict[str, Any]) -> None:
    """The same for requests to embed."""
    tokens = quick_tokens(json.dumps(request).encode(), "embed")

    if tokens is not None:
        assert check(request, "EmbedContentRequest") == []
        assert own_error(request, "embed") is None
        assert tokens == prompt_tokens(request, "embed")


@given(junk)
@settings(max_examples=300)
def test_validation_never_crashes(body: Any) -> None:
    """Any JSON at all is either fine or a list of flaws."""
    for message in ("BatchGenerateContentRequest", "GenerateContentRequest", "GenerationConfig"):
        assert isinstance(check(body, message), list)


@given(requests)
@settings(max_examples=200)
def test_whatever_is_accepted_can_be_answered(request: dict[str, Any]) -> None:
    """A request that validates is answered or is an error of its own; nothing is raised."""
    if check(request, "GenerateContentRequest") == []:
        error = own_error(request, "generate")
        if error is None:
            made = answers.generate(request, "gemini-2.5-flash", b"d" * 16, 1)
            assert json.loads(json.dumps(made))["modelVersion"] == "gemini-2.5-flash"


def test_every_field_is_known_in_both_spellings() -> None:
    """Each field of each message reads in snake_case and lowerCamelCase, and its type exists."""
    seen: set[str] = set()
    queue = ["BatchGenerateContentRequest", "AsyncBatchEmbedContentRequest", "CreateFileRequest"]
    scalar = {"string", "bool", "int32", "int64", "float", "double", "bytes"}
    scalar |= {"struct", "value", "duration", "timestamp"}
    while queue:
        message = queue.pop()
        if message in seen:
            continue
        seen.add(message)
        for field in fields_of(message).values():
            assert fields_of(message)[camel(field.name)] is fields_of(message)[field.name]
            if is_message(field.type):
                queue.append(field.type)
            else:
                assert field.type in scalar or enum_values(field.type)
    assert len(seen) > 50


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ({"temperature": 1}, True),
        ({"temperature": "0.5"}, True),
        ({"topK": 40.0}, True),
        ({"topK": 40.5}, False),
        ({"seed": 2**31}, False),
        ({"maxOutputTokens": "12"}, True),
        ({"stopSequences": "x"}, True),
        ({"stopSequences": [1]}, False),
        ({"responseLogprobs": "true"}, False),
        ({"responseSchema": {"type": "string", "minLength": "3"}}, True),
        ({"responseSchema": {"type": "text"}}, False),
        ({"responseSchema": {"additionalProperties": False}}, False),
        ({"responseJsonSchema": {"anything": ["goes"]}}, True),
        ({"thinkingConfig": {"thinkingLevel": "low"}}, True),
        ({"thinking_config": None}, True),
        ({"topP": 1, "top_p": 1}, False),
    ],
)
def test_scalars_are_read_as_proto3_json(value: dict[str, Any], *, fits: bool) -> None:
    """Numbers may be texts, int64 may be texts, enums any case; what overflows is refused."""
    assert (check(value, "GenerationConfig") == []) is fits


@given(st.text(alphabet="ab\u00e9\u2028 ", max_size=6), st.integers(0, 3))
def test_columns_point_just_behind_the_colon(text: str, before: int) -> None:
    """The column of a flaw is the byte after the key's colon, whatever stands before it."""
    request = {f"k{n}": [text, {"x": text}] for n in range(before)} | {"bad": 1}
    line = json.dumps({"key": text, "request": request}, ensure_ascii=False).encode()

    column = column_of(line, ("request", "bad"))

    assert line[: column - 1].endswith(b'"bad":')


@pytest.mark.parametrize("line", [b"\xff", b"[]", b"1", b'{"key":', b"\xef\xbb\xbf{}", b"nul"])
def test_what_is_no_json_object_is_a_flaw(line: bytes) -> None:
    """Broken text is refused with a column, never with a crash."""
    with pytest.raises(LineFlaw, match=r"invalid JSON, near column \d+"):
        read_line(line, "GenerateContentRequest")


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["a", "b", "c"])
    return st.one_of(
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            inner,
            st.integers(0, 3),
        ),
        st.dictionaries(names, inner, max_size=3).map(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties),
                "additionalProperties": False,
            }
        ),
        st.lists(inner, min_size=1, max_size=2).map(lambda options: {"anyOf": options}),
    )


plain = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 30, "maxLength": 35},
        {"type": "string", "maxLength": 0},
        {"enum": ["x", 1, None]},
        {"const": 7},
        {"type": "integer", "minimum": -3, "maximum": -1},
        {"type": "integer", "exclusiveMinimum": 5},
        {"type": "number", "minimum": 0.25, "maximum": 0.5},
        {"type": "integer", "multipleOf": 7},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["null", "integer"]},
        {},
    ]
)


@given(st.recursive(plain, _schemas, max_leaves=6), st.binary(min_size=16, max_size=16))
@settings(max_examples=300)
def test_instances_validate_against_their_schema(schema: dict[str, Any], digest: bytes) -> None:
    """Whatever the schema asks for, the instance made for it validates, and is the same again."""
    made = instance_of(schema, digest)

    jsonschema.validate(made, schema)
    assert instance_of(schema, digest) == made
