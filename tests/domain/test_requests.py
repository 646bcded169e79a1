import json

import pytest
from hypothesis import assume, given, reject, strategies as st

from orchestrator.domain.requests import Entry, Rules, read_line
from orchestrator.domain.strictness import Flaw

GENERATE = Rules("generate", "gemini-x", {})
EMBED = Rules("embed", "embedding-x", {})
HI = '{"contents":[{"parts":[{"text":"hi"}]}]}'


def read(text, rules=GENERATE):
    """Return (key, request, flags) as the composer and the deliverer would see them."""
    line = text.replace("%s", HI).encode() if isinstance(text, str) else text
    entry = read_line(line, rules)
    assert isinstance(entry, Entry), entry
    request = line[entry.start : entry.start + entry.length]
    key = line[entry.key : entry.key + entry.key_length].decode()
    return key, (entry.rewritten or request).decode(), entry.flags


def flaw(text, rules=GENERATE):
    line = text.replace("%s", HI).encode() if isinstance(text, str) else text
    found = read_line(line, rules)
    assert isinstance(found, Flaw), found
    return found


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('{"key":"a","request":%s}', '"a"'),
        ('{ "request" : %s , "key" : "\\u0061" } ', '"\\u0061"'),
        ('{"metadata":{"x":[1],"key":"a"},"request":%s}', '"a"'),
        ('{"key":"a","request":%s,"metadata":{"key":"a"}}', '"a"'),
        ('{"request":%s,"metadata":null}', ""),
        ('{"request":%s}', ""),
        ('{"key":"","request":%s}', '""'),
        ("%s", ""),
        ("\t%s \r", ""),
    ],
)
def test_every_form_gives_its_key_and_request_byte_for_byte(line, key):
    """Each accepted form is read, key and request exactly as they were written."""
    assert read(line) == (key, HI, 0)


def test_embedding_requests_are_read_in_both_forms():
    """For embeddings the content is one object."""
    request = '{"content":{"parts":[{"text":"t"}]},"outputDimensionality":3}'

    assert read(request, EMBED) == ("", request, 0)
    assert read('{"key":"k","request":' + request + "}", EMBED) == ('"k"', request, 0)


def test_a_flat_config_is_put_in_its_wire_place():
    """The SDK's config becomes generationConfig and the fields beside it, values untouched."""
    line = (
        '{"contents":"hi","model":"models/gemini-x","metadata":{"key":"k"},"config":'
        '{"temperature":0.50,"system_instruction":"Be brief.","tools":[{"google_search":{}}],'
        '"seed":null}}'
    )

    assert read(line) == (
        '"k"',
        (
            '{"contents":[{"parts":[{"text":"hi"}],"role":"user"}],'
            '"generationConfig":{"temperature":0.50},'
            '"systemInstruction":{"parts":[{"text":"Be brief."}]},"tools":[{"google_search":{}}]}'
        ),
        0,
    )


def test_an_equal_model_is_stripped_and_another_is_a_flaw():
    """A request may name its set's model, with or without prefix, but no other."""
    same = '{"request":{"model":"models/gemini-x","contents":[{}]}}'

    assert read(same) == ("", '{"contents":[{}]}', 0)
    assert flaw(same.replace("gemini-x", "gemini-y")).code == "MODEL"


def test_defaults_are_filled_in_by_flags_or_merged():
    """Missing fields are flagged; a generationConfig is filled one level deep, in the side file."""
    rules = Rules(
        "generate", "m", {"toolConfig": b"{}", "generationConfig": b'{"topK":1,"seed":2}'}
    )

    assert read(HI, rules)[1:] == (HI, 0b11)
    assert read(HI[:-1] + ',"tool_config":{}}', rules)[2] == 0b10
    assert read(HI[:-1] + ',"generation_config":{"top_k":5,"x":1.0}}', rules)[1:] == (
        HI[:-1] + ',"generation_config":{"top_k":5,"x":1.0,"seed":2}}',
        0b01,
    )
    complete = HI[:-1] + ',"generationConfig":{"topK":5,"seed":1}}'
    assert read(complete, rules)[1:] == (complete, 0b01)


def test_a_request_may_live_from_its_defaults_alone():
    """An empty request is put together from the defaults when they hold its contents."""
    rules = Rules("generate", "m", {"contents": b"[{}]", "tools": b"[]"})

    assert read('{"key":"a","request":{}}', rules) == ('"a"', '{"contents":[{}],"tools":[]}', 0)


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ("[1]", "NOT_AN_OBJECT", 1),
        ("nonsense", "NOT_JSON", 2),
        ('{"key":"a","request":' + HI, "NOT_JSON", 62),
        ('{"key":"é","request":%s} x', "NOT_JSON", 64),
        ('{"key":"a","request":{"contents":NaN}}', "NOT_JSON", 34),
        ('{"contents":[{"x":Infinity}]}', "NOT_JSON", 19),
        ('{"contents":[{"x":-1.5e999}]}', "NUMBER_RANGE", 19),
        (b'{"contents":[{"x":"\xc3\xa9\xff"}]}', "NOT_UTF8", 21),
        (b'{"contents":[{"x":"\xed\xa0\x80"}]}', "NOT_UTF8", 20),
        ('{"contents":[{"x":"\\ud800"}]}', "NOT_JSON", 20),
        ('{"contents":[{"x":"\\udc00 and more text here"}]}', "NOT_JSON", 20),
        ('{"contents":[{"x":"\\ud800 and more text here"}]}', "NOT_JSON", 20),
        ('{"contents":[{"x":"\0"}]}', "NUL", 20),
        ('{"contents":' + "[" * 100_000 + "]" * 100_000 + "}", "TOO_DEEP", 1),
        ('{"contents":' + "[" * 100 + "]" * 100 + "}", "TOO_DEEP", 1),
        ('{"key":"a","key":"a","request":%s}', "DUPLICATE_MEMBER", 12),
        ('{"request":{},"key":"a","request":%s}', "DUPLICATE_MEMBER", 2),
        ('{"contents":[{}],"c\\u006fntents":[{}]}', "DUPLICATE_MEMBER", 18),
        ('{"key":1,"request":%s}', "KEY_TYPE", 8),
        ('{"key":null,"request":%s}', "KEY_TYPE", 8),
        ('{"metadata":{"key":1},"request":%s}', "KEY_TYPE", 20),
        ('{"metadata":7,"request":%s}', "METADATA", 13),
        ('{"metadata":{"key":"b"},"key":"a","request":%s}', "KEY_TWICE", 20),
        ('{"key":"' + "k" * 65535 + '","request":%s}', "KEY_LENGTH", 8),
        ('{"key":"a","request":[]}', "REQUEST_TYPE", 22),
        ('{"key":"a","contents":[]}', "NO_REQUEST", 1),
        ('{"custom_id":"a","body":{}}', "NO_REQUEST", 1),
        ("{}", "NO_REQUEST", 1),
        ('{"request":{"content":{}}}', "CONTENTS", 12),
        ('{"request":{"contents":"hi"}}', "CONTENTS", 12),
        ('{"request":{"contents":[ ]}}', "CONTENTS", 12),
        ('{"request":{"contents":[{}],"config":[]}}', "CONFIG", 12),
        ('{"request":{"contents":[{}],"config":{"http_options":{}}}}', "CONFIG", 12),
        ('{"request":{"contents":[{}],"tools":[],"config":{"tools":[]}}}', "CONFIG", 12),
    ],
)
def test_flaws_say_what_and_where(line, code, column):
    """Whatever cannot be sent is a flaw with a code, a sentence and a column."""
    found = flaw(line)

    assert (found.code, found.column) == (code, column), found
    assert found.message


def test_a_flawed_line_keeps_its_key():
    """The key of a line whose request is flawed is found all the same."""
    line = '{"key":"k\\n","request":{"contents":7}}'

    found = flaw(line)

    assert line[found.key : found.key + found.key_length] == '"k\\n"'


def test_long_numbers_and_depth_within_bounds_pass_verbatim():
    """5,000 digits and 100 levels are nobody's business but the service's."""
    number = '{"contents":[{"x":%s,"y":1e-999,"z":1e30}]}' % ("9" * 5000)
    deep = '{"contents":' + "[" * 99 + "{}" + "]" * 99 + "}"
    deep = deep.replace("[{}]", "{}")

    assert read(number)[1] == number
    assert read(deep)[1] == deep


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(
    key=st.text(),
    request=st.dictionaries(st.text(), json_values),
    order=st.permutations(["key", "request", "metadata"]),
    ascii_only=st.booleans(),
    indent=st.sampled_from([(", ", ": "), (",", ":"), (" ,\t", " :\r")]),
)
def test_what_is_written_is_found(key, request, order, ascii_only, indent):
    """Whatever JSON writer made it, a line's key and request come out as their own bytes."""
    assume(not {"config", "model", "content"} & request.keys())
    request["contents"] = [{"parts": [{"text": key}]}]
    members = {"key": key, "request": request, "metadata": {"n": [key, {}]}}
    line = json.dumps(
        {name: members[name] for name in order}, ensure_ascii=ascii_only, separators=indent
    )
    try:
        line.encode()
    except UnicodeEncodeError:
        reject()

    found = read(line)

    assert json.loads(found[0]) == key
    assert json.loads(found[1]) == request
    assert found[0] in line
    assert found[1] in line
    assert found[2] == 0


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(line):
    """Any bytes are an entry or a flaw."""
    assert isinstance(read_line(line.replace(b"\n", b""), GENERATE), Entry | Flaw)


@given(st.text(alphabet='{}[]",:\\u0123d8ca "keyrqstconp\r\t', max_size=80))
def test_an_entry_is_strict_json(text):
    """Whatever is taken parses with the strictest reader, and is what was announced."""
    line = '{"key":"a","request":{"contents":[{"p":' + text + "}]}}"
    found = read_line(line.encode(), GENERATE)
    if isinstance(found, Entry):
        whole = json.loads(line)
        assert json.loads(line[found.start : found.start + found.length]) == whole["request"]
        json.dumps(whole, ensure_ascii=False).encode()
