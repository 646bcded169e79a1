"""Answer lines in every form that the wire knows, and in those that it should not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.domain.answers import _read_each, key_nearby, read_lines
from orchestrator.domain.batches import Usage
from orchestrator.domain.found import (
    NEITHER,
    NO_KEY,
    NOT_JSON,
    NOT_OURS,
    NOT_UTF8,
    RESPONSE,
    TEXT_BYTES,
    is_utf8,
)
from orchestrator.domain.usual_answers import LONG_LINE_BYTES, read_usual

LONG = b'{"response":{"text":"%b"},"key":"3"}\n' % (b"x" * LONG_LINE_BYTES)

TEXT = st.text(max_size=20)
VALUES: Any = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(TEXT, st.sampled_from(("key", "usageMetadata", "candidates"))), inner
        ),
    ),
    max_leaves=6,
)
COUNTS = st.integers(0, 1000)
USAGE = st.fixed_dictionaries(
    {},
    optional={
        "promptTokenCount": COUNTS,
        "cachedContentTokenCount": COUNTS,
        "candidatesTokenCount": COUNTS,
        "thoughtsTokenCount": COUNTS,
        "other": VALUES,
    },
)
RESPONSES = st.fixed_dictionaries(
    {},
    optional={
        "candidates": st.one_of(VALUES, st.lists(VALUES, max_size=2)),
        "usageMetadata": USAGE,
        "modelVersion": TEXT,
        "more": VALUES,
        "long": st.just("wörds and \\ " * (LONG_LINE_BYTES // 10)),
    },
)
ERRORS = st.fixed_dictionaries({"code": st.integers(1, 16)}, optional={"message": TEXT})
ORDINALS = st.integers(0, 10**12)


def _dumps(value: Any, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":")).encode(
        "utf-8", "surrogatepass"
    )


@st.composite
def canonical(draw: st.DrawFn) -> tuple[bytes, int, bytes, int]:
    """Return a line in a common layout, its ordinal, its value and its code."""
    ordinal, ascii_only = draw(ORDINALS), draw(st.booleans())
    if draw(st.booleans()):
        members = draw(st.permutations(list(draw(RESPONSES).items())))
        value, name, code = dict(members), b"response", RESPONSE
    else:
        value, name = draw(ERRORS), b"error"
        code = value["code"]
    raw = _dumps(value, ascii_only=ascii_only)
    behind, ahead = b'{"%b":%b,"key":"%d"}\n', b'{"key":"%d","%b":%b}\n'
    if draw(st.booleans()):
        return behind % (name, raw, ordinal), ordinal, raw, code
    return ahead % (ordinal, name, raw), ordinal, raw, code


@settings(deadline=None)
@given(st.lists(canonical(), min_size=1, max_size=20), st.integers(0, 10**9))
def test_each_line_is_found_with_its_exact_value(
    lines: list[tuple[bytes, int, bytes, int]], base: int
) -> None:
    """Reading many lines at once and one by one find the same spans, codes and usage."""
    data = b"".join(line for line, *_ in lines)

    reading = read_lines(data, base)
    slow = _read_each(data, base)

    assert reading.found["ordinal"].tolist() == [ordinal for _, ordinal, _, _ in lines]
    assert reading.found["code"].tolist() == [code for *_, code in lines]
    spans = [
        data[offset - base : offset - base + length]
        for offset, length in zip(
            reading.found["offset"].tolist(), reading.found["length"].tolist(), strict=True
        )
    ]
    assert spans == [raw for _, _, raw, _ in lines]
    for found in (slow.found["ordinal"], slow.found["code"], slow.found["length"]):
        assert len(found) == len(lines)
    assert slow.found["length"].tolist() == reading.found["length"].tolist()
    assert slow.usage == reading.usage


def test_the_common_layout_is_read_in_one_go() -> None:
    """Lines with the key as the last member or the first do not go line by line."""
    data = (
        b'{"response":{"a":[1,"\xc3\xa9"]},"key":"0"}\n{"error":{"code":3},"key":"10"}\n'
        b'{"key":"7","error":{"code":5}}\n{"key":"123","response":{"a":{"response":{}}}}\n'
    )

    for reading in (read_usual(data, 0), read_usual(LONG + data, 0), read_usual(data + LONG, 0)):
        assert reading is not None
        last = reading.found[reading.found["ordinal"] != 3]
        assert last["ordinal"].tolist() == [0, 10, 7, 123]
        assert last["code"].tolist() == [RESPONSE, 3, 5, RESPONSE]


def test_few_lines_are_read_like_an_odd_one_among_them() -> None:
    """What holds an odd line is halved: each line is found, with one alone read by itself."""
    usual = [b'{"key":"%d","response":{"n":%d}}\n' % (each, each) for each in range(2000)]
    odd = b'{ "response": {"n": 1}, "key": "%d" }\n'
    lines = [odd % each if each in {0, 777, 1999} else usual[each] for each in range(2000)]

    reading = read_lines(b"".join(lines), 5)

    assert reading.found["ordinal"].tolist() == list(range(2000))
    assert reading.found.tolist() == _read_each(b"".join(lines), 5).found.tolist()


@pytest.mark.parametrize(
    "data",
    [
        b'{"response":{},"key":"1"}\n{"response":{},\n"key":"2"}\n',
        b'{"response":{},"key":"1"}{"response":{},"key":"2"}\n\n',
        b'{"response":{},"key":"1","key":"2"}\n',
        b'{"response":{},"response":{"a":1},"key":"2"}\n',
        b'{"response":{"key":"9"}}\n',
        b'{"response":{},"key":"007"}\n',
        b'{"response":{},"key":"\\u0037"}\n',
        b'{"response":{},"x":1,"key":"7"}\n',
        b'{"response":{}, "key":"7"}\n',
        b'{"response":"\xff","key":"7"}\n',
        b'{"response":{},"key":"7"}',
        b'{"response":{},"key":"-7"}\n',
        b'{"response":{},"key":"\xef\xbc\x97"}\n',
        b'{"key":"1","response":{}}\n{"key":"2",\n"response":{}}\n',
        b'{"key":"1","response":{}}{"key":"2","response":{\n}}\n',
        b'{"key":"1","response":{}}{"key":"2","response":{}\n}\n',
        b'{"key":"1","response":{},"key":"2"}\n',
        b'{"key":"1","response":{},"response":{"a":1}}\n',
        b'{"key":"1","error":{"code":1},"error":{"code":2}}\n',
        b'{"key":"1","error":{"code":1},"response":{}}\n',
        b'{"key":"007","response":{}}\n',
        b'{"key":"\\u0037","response":{}}\n',
        b'{"key":"7","x":1,"response":{}}\n',
        b'{"key":"7","response":{},"x":{}}\n',
        b'{"key":"7", "response":{}}\n',
        b'{"key":"7","response":{} }\n',
        b'{"key":"7","response": {}}\n',
        b'{"key":"7","respons\\u0065":{"aaa":{}}}\n',
        b'{"key":7,"response":{"a":{}}}\n',
        b'{"key":"7","response":[]}\n',
        b'{"key":"7","response":{"a":"\xff"}}\n',
        b"\n",
    ],
)
def test_what_looks_common_and_is_not_goes_line_by_line(data: bytes) -> None:
    """Two objects on a line, one over two, a member twice, another spelling: no short cut."""
    assert read_usual(data, 0) is None
    assert read_usual(LONG + data, 0) is None


@pytest.mark.parametrize(
    ("line", "ordinal", "value", "code"),
    [
        (b'{"key":"5","response":{"a":1}}', 5, b'{"a":1}', RESPONSE),
        (b'{"response":{"a":1},"metadata":{"key":"5"}}', 5, b'{"a":1}', RESPONSE),
        (b'{"metadata":{"x":1,"key":5},"response":{}}', 5, b"{}", RESPONSE),
        (b' {"key" : "5" , "response" : { } } \r', 5, b"{ }", RESPONSE),
        (b'{"response":null,"error":{"code":13},"key":"5"}', 5, b'{"code":13}', 13),
        (b'{"status":{"code":8},"key":"5"}', 5, b'{"code":8}', 8),
        (b'{"error":{"code":503},"key":"5"}', 5, b'{"code":503}', 14),
        (b'{"error":{"message":"?"},"key":"5"}', 5, b'{"message":"?"}', 2),
        (b'{"response":{"a":1},"error":{"code":1},"key":"5"}', 5, b'{"a":1}', RESPONSE),
        (b'{"response":{"usageMetadata":7},"key":"5"}', 5, b'{"usageMetadata":7}', RESPONSE),
        (b'{"response":{}}', NO_KEY, b"{}", RESPONSE),
        (b'{"response":{},"key":"user"}', NOT_OURS, b"{}", RESPONSE),
        (b'{"response":{},"key":"05"}', NOT_OURS, b"{}", RESPONSE),
        (b'{"response":{},"metadata":7}', NOT_OURS, b"{}", RESPONSE),
        (b'{"key":"5"}', 5, b'{"key":"5"}', NEITHER),
        (b'{"response":"text","key":"5"}', 5, b'{"response":"text","key":"5"}', NEITHER),
        (b'{"response":{"a":,"key":"5"}', 5, b'{"response":{"a":,"key":"5"}', NOT_JSON),
        (
            b'{"response":{"a":"\xff"},"key":"5"}',
            5,
            b'{"response":{"a":"\xff"},"key":"5"}',
            NOT_UTF8,
        ),
        (b"nonsense", NO_KEY, b"nonsense", NOT_JSON),
        (b'{"response":{"a":' + b"[" * 9999, NO_KEY, b'{"response":{"a":' + b"[" * 9999, NOT_JSON),
    ],
)
def test_each_form_of_a_line(line: bytes, ordinal: int, value: bytes, code: int) -> None:
    """Members in any order, either place of the key, either name of an error, or a finding."""
    (row,) = read_lines(line, 100).found

    assert (row["ordinal"], row["code"]) == (ordinal, code)
    assert line[row["offset"] - 100 :][: row["length"]] == value


def test_only_a_newline_ends_a_line() -> None:
    """Other line ends of Unicode are text, and blank lines are nothing."""
    text = "a\u2028b\u2029c\x85d".encode()
    data = b'\n{"response":{"t":"%b"},"key":"1"}\n \n{"response":{},"key":"2"}' % text

    assert read_lines(data, 0).found["ordinal"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (b'{"usageMetadata":{"promptTokenCount":4},"candidates":[{"a":%b}]}', 4),
        (b'{"modelVersion":"m","usageMetadata":{"promptTokenCount":4},"candidates":[%b]}', 4),
        (b'{"candidates":[%b],"usageMetadata":{"promptTokenCount":4},"modelVersion":"m"}', 4),
        (b'{"x":{"usageMetadata":{"promptTokenCount":9}},"candidates":[%b]}', 0),
        (b'{"x":{"usageMetadata":{}},"candidates":[%b],"usageMetadata":{"promptTokenCount":4}}', 4),
        (b'{"x":{"usageMetadata":{"promptTokenCount":9},"candidates":[%b]}}', 0),
        (b'{"candidates":[%b,{"b":1,"usageMetadata":{"promptTokenCount":9}}]}', 0),
        (b'{"usageMetadata":{"promptTokenCount":4},"more":{"candidates":[%b]}}', 4),
    ],
)
def test_tokens_of_a_long_response_are_found_wherever_they_stand(
    response: bytes, tokens: int
) -> None:
    """Before the candidates or behind them; those of an inner object are another's."""
    long = response % (b'"%b"' % (b"x" * LONG_LINE_BYTES))
    data = b'{"key":"1","response":%b}\n' % long

    reading = read_usual(data * 2, 0)

    assert reading is not None
    assert reading.usage == Usage(prompt=2 * tokens)


def test_the_tokens_of_embeddings_are_counted_once() -> None:
    """`tokenCount` is an int64 and so a string; `usageMetadata` beside it says the same again."""
    data = (
        b'{"response":{"tokenCount":"4","embedding":{}},"key":"1"}\n'
        b'{"response":{"tokenCount":"5","usageMetadata":{"promptTokenCount":5}},"key":"2"}\n'
        b'{"response":{"tokenCount":"many"},"key":"3"}\n'
    )

    assert read_lines(data, 0).usage == Usage(prompt=9)


@pytest.mark.parametrize(
    ("head", "tail", "ordinal"),
    [
        (b'{"key":"12","response":{', b"", 12),
        (b'{"metadata":{"key":"12"},"resp', b"", 12),
        (b"{", b'..."}]},"key":"12"}\n', 12),
        (b"{", b'..."}]},"metadata":{"key":"12"}}\n', 12),
        (b'{"response":{"key":"12"', b"}", NO_KEY),
        (b"{", b'{"text":"\\"key\\":\\"12\\"}', NO_KEY),
    ],
)
def test_a_broken_line_may_still_tell_its_key(head: bytes, tail: bytes, ordinal: int) -> None:
    """The key of a line that cannot be read is looked for at both of its ends."""
    assert key_nearby(head, tail) == ordinal


@pytest.mark.parametrize("character", ["é", "€", "😀"])
@pytest.mark.parametrize("before", range(TEXT_BYTES - 4, TEXT_BYTES + 1))
def test_a_character_may_lie_on_the_border_of_two_steps(character: str, before: int) -> None:
    """Text is checked a step at a time; what a border cuts is whole, what the end cuts is not."""
    whole = character.encode()

    assert is_utf8(b"a" * before + whole)
    assert is_utf8(b"a" * before + whole + b"b")
    assert not is_utf8(b"a" * before + whole[:-1])
    assert not is_utf8(b"a" * before + whole[:-1] + b"b")
