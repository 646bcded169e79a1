"""Inline answers are taken out of a JSON stream item by item, however it is cut and spelt."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from orchestrator.gemini.bodies import TooMuch
from orchestrator.gemini.items import InlineItems, NotJson, wire_line

TRICKY = st.sampled_from(
    ['"', "\\", '\\"', "],", "{[", "\n", "\u2028", "inlinedResponses", "é", ""]
)
TEXTS = st.text(max_size=5) | TRICKY
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9**20) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
ITEMS = st.lists(st.dictionaries(TEXTS, JSON, max_size=3), max_size=4)
PLACES = {
    "response, doubled": lambda items: {
        "response": {"inlinedResponses": {"inlinedResponses": items}}
    },
    "response, flat": lambda items: {"response": {"inlinedResponses": items}},
    "metadata.output": lambda items: {
        "metadata": {"output": {"inlinedResponses": {"inlinedResponses": items}}}
    },
    "embeddings of old": lambda items: {
        "response": {"inlinedEmbedContentResponses": {"inlinedResponses": items}}
    },
}


def walk(body: bytes, cuts: list[int]) -> tuple[InlineItems, list[bytes]]:
    walked = InlineItems(1 << 20, 1 << 20)
    places = sorted({0, len(body), *(cut % (len(body) + 1) for cut in cuts)})
    items = [item for start, end in pairwise(places) for item in walked.feed(body[start:end])]
    return walked, items


@given(
    items=ITEMS,
    place=st.sampled_from(sorted(PLACES)),
    around=st.dictionaries(TEXTS.filter(lambda key: key not in {"response", "metadata"}), JSON),
    indent=st.none() | st.integers(0, 2),
    cuts=st.lists(st.integers(0, 1 << 16)),
)
@example(items=[{"a": '\\"]'}], place="response, flat", around={}, indent=1, cuts=list(range(99)))
def test_every_item_comes_out_as_it_went_in(
    items: list[Any], place: str, around: Any, indent: int | None, cuts: list[int]
) -> None:
    """For all items, whatever lies around them and wherever the stream is cut."""
    body = json.dumps(around | PLACES[place](items) | around, indent=indent).encode()

    walked, found = walk(body, cuts)

    assert [json.loads(item) for item in found] == items
    assert (walked.ended, walked.lists, walked.count) == (True, 1, len(items))
    assert json.loads(walked.around) == around | PLACES[place]([])


@given(JSON, st.lists(st.integers(0, 1 << 16)))
def test_what_lies_elsewhere_is_no_item(value: Any, cuts: list[int]) -> None:
    """The path decides: what a request or an answer says cannot pass for items."""
    disguised = {"inlinedResponses": {"inlinedResponses": [{"response": value}]}}
    elsewhere = {"metadata": {"inputConfig": disguised, "x": [disguised]}, "responses": disguised}
    body = json.dumps(elsewhere | {"response": {"candidates": disguised}}).encode()

    walked, found = walk(body, cuts)

    assert found == []
    assert walked.ended


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
@example(b'{"response":{"inlinedResponses":[{]}}]', [])
@example(b"}", [])
@example(b"{}{", [])
def test_no_stream_crashes_the_walk(body: bytes, cuts: list[int]) -> None:
    """Whatever comes is walked, or is said to be no JSON."""
    try:
        walk(body, cuts)
    except NotJson:
        return


def test_a_cut_stream_has_not_ended() -> None:
    """Only the closing bracket tells that all is there."""
    body = json.dumps(PLACES["response, flat"]([{"a": 1}, {"b": 2}])).encode()

    walked, found = walk(body[:-3], [])

    assert len(found) == 2
    assert not walked.ended
    assert walked.lists == 0


@pytest.mark.parametrize("odd", [None, 7, 'text, with ] and "', True])
def test_what_is_no_object_is_handed_on(odd: Any) -> None:
    """An item that is no object is not passed over: its reader counts it."""
    body = json.dumps(PLACES["response, flat"]([{"a": 1}, odd, {"b": 2}, odd])).encode()

    _, found = walk(body, [5, 50])

    assert [json.loads(item) for item in found] == [{"a": 1}, odd, {"b": 2}, odd]


def test_an_endless_item_is_stopped() -> None:
    """Memory is bounded by the largest item that is allowed."""
    walked = InlineItems(1000, 1000)
    list(walked.feed(b'{"response":{"inlinedResponses":[{"a":"' + b"x" * 900))

    with pytest.raises(TooMuch):
        list(walked.feed(b"x" * 200))


@pytest.mark.parametrize("filler", [b'{"a":"' + b"x" * 5000, b'{"a":' + b" " * 5000, b"[" * 300])
def test_an_endless_head_is_stopped(filler: bytes) -> None:
    """What lies around the items is bounded in length and depth."""
    with pytest.raises(TooMuch):
        list(InlineItems(1 << 20, 1000).feed(filler))


@pytest.mark.parametrize(
    ("item", "line"),
    [
        ({"response": {"a": 1}, "metadata": {"key": "7"}}, {"key": "7", "response": {"a": 1}}),
        ({"error": {"code": 3}, "metadata": {"key": "7"}}, {"key": "7", "error": {"code": 3}}),
        ({"key": "7", "response": {}}, {"key": "7", "response": {}}),
        ({"response": {}}, {"response": {}}),
        ({"status": {"code": 1}, "metadata": {"key": "a"}}, {"key": "a", "status": {"code": 1}}),
        ({"metadata": {"key": "7"}}, {"metadata": {"key": "7"}}),
        ({"response": {}, "metadata": 7}, {"response": {}}),
        (None, None),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_item_becomes_a_line_of_a_result_file(item: Any, line: Any, indent: int | None) -> None:
    """The key comes out of the metadata, and pretty printing goes away."""
    written = wire_line(json.dumps(item, indent=indent).encode())

    assert written.count(b"\n") == 1
    assert written.endswith(b"\n")
    assert json.loads(written) == line


def test_an_answer_is_carried_through_as_it_came() -> None:
    """Numbers and escapes of an answer are not touched, unlike the blanks between them."""
    raw = b'{\n "response": {"n": 1e999, "m": 1.000000000000000000001, "s": "\\u00e9"}\n}'

    assert (
        wire_line(raw)
        == b'{"response":{"n": 1e999, "m": 1.000000000000000000001, "s": "\\u00e9"}}\n'
    )


@given(st.binary())
@example(b'{"response":{"a":\n\xff}}')
@example(b'{"response":' + b"\n[" * 50_000 + b"]" * 50_000 + b"}")
def test_no_item_crashes_or_breaks_a_line(item: bytes) -> None:
    """Whatever an item is, it makes one line."""
    assert wire_line(item).count(b"\n") == 1
