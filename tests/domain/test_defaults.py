import json

import numpy as np
import pytest
from hypothesis import given, strategies as st

from orchestrator.domain import defaults
from orchestrator.domain.layout import LINE

FIELDS = ["systemInstruction", "tools", "toolConfig", "safetySettings", "cachedContent", "labels"]
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(
    request=st.dictionaries(st.sampled_from(["contents", "x"]), values, min_size=1),
    fields=st.dictionaries(st.sampled_from(FIELDS), values),
    flags=st.integers(0, 63),
)
def test_filling_appends_exactly_the_fields_of_the_bits(request, fields, flags):
    """Bit i fills in the i-th field, as JSON the result is the union, and the length is known."""
    fragments = defaults.default_fragments(json.dumps(fields))
    flags &= (1 << len(fragments)) - 1

    filled = defaults.fill(json.dumps(request).encode(), fragments, flags)

    chosen = {name for i, name in enumerate(fields) if flags >> i & 1}
    expected = {name: value for name, value in fields.items() if name in chosen}
    got = json.loads(filled)
    assert {k: v for k, v in got.items() if k not in request} == {
        k: ({"parts": [{"text": v}]} if (k, type(v)) == ("systemInstruction", str) else v)
        for k, v in expected.items()
    }
    assert list(got) == [*request, *expected]
    added = defaults.filled_bytes(fragments)
    assert len(filled) == len(json.dumps(request)) + added[flags]


@given(st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 500)), min_size=1))
def test_wire_lengths_are_those_of_the_composed_lines(rows):
    """The length of every wire line is known from its row and its ordinal alone."""
    lines = np.zeros(len(rows), LINE)
    lines["length"] = [length for _, length in rows]
    ordinals = np.array([ordinal for ordinal, _ in rows], np.uint64)

    lengths = defaults.wire_lengths(lines, ordinals, defaults.filled_bytes(()))

    assert lengths.tolist() == [
        len(b'{"key":"%d","request":%s}\n' % (n, b"x" * size)) if size else 0 for n, size in rows
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "no JSON object"),
        ("{", "no JSON object"),
        ('{"tool_config":{},"toolConfig":{}}', "toolConfig twice"),
        ('{"model":"m"}', "model"),
        (json.dumps({f"f{i}": 1 for i in range(14)}), "at most 13"),
        ('{"config":{"http_options":{}}}', "no place on the wire"),
    ],
)
def test_defaults_that_cannot_be_filled_in_are_refused_in_words(text, words):
    """What no line could be given is a ValueError that says why."""
    with pytest.raises(ValueError, match=words):
        defaults.default_fragments(text)


def test_a_flat_config_in_the_defaults_is_put_in_its_wire_place():
    """Defaults may be written as the SDK's flat config."""
    text = '{"config":{"temperature":0.5,"system_instruction":"Be brief.","top_k":null}}'

    assert defaults.default_fragments(text) == (
        b'"generationConfig":{"temperature":0.5}',
        b'"systemInstruction":{"parts":[{"text":"Be brief."}]}',
    )
