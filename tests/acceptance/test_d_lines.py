"""D8-D11, D13-D15, D18, D19: hostile lines. One daemon meets them all.

A hostile line stands between two good ones, which are answered whatever it is.
"""

import json

import pytest

from tests.acceptance.house import line
from tests.crash.real import KEY

pytestmark = pytest.mark.slow
MAY_BE_FLAWED = "flaws_max_fraction = 1.0\n"
BOM = b"\xef\xbb\xbf"


def request(text: str) -> bytes:
    """Return a line whose request holds this JSON text in its prompt's place."""
    return b'{"key":"k","request":{"contents":[{"parts":[{"text":%s}]}]}}' % text.encode()


@pytest.mark.parametrize(
    ("name", "data"), [("empty", b""), ("blank", b"\n\r\n \t\n"), ("only-bom", BOM)]
)
def test_d8_nothing_is_refused_as_nothing(home, name, data):
    """A file without a single request is rejected as empty."""
    home.drop(f"{name}.jsonl", data)

    refused = home.rejected(name)

    assert refused.reason in ("the file is empty", "the file has no requests, only blank lines")
    assert (refused.folder / f"{name}.jsonl").read_bytes() == data


def test_d9_one_bom_is_no_matter(home):
    """A UTF-8 BOM at the beginning of the file is passed over, once."""
    home.drop("bom.jsonl", BOM + line("a") + line("b"))

    results = home.delivered("bom")

    assert [one["key"] for one in results] == ["a", "b"]
    assert all("response" in one for one in results)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_d9_utf_16_and_32_are_refused_by_name(home, encoding):
    """A file in UTF-16 or UTF-32 is rejected as what it is, with what to do."""
    home.drop(f"in-{encoding}.jsonl", line("a").decode().encode(encoding))

    refused = home.rejected(f"in-{encoding}")

    assert refused.reason == "the file is not UTF-8 but UTF-16 or UTF-32; convert it to UTF-8"


def test_d9_latin_1_is_refused_with_its_place(home):
    """A file in Latin-1 is rejected; a flaw has its line, its offset, its column and a reason."""
    text = '{"key": "é", "request": {"contents": [{"parts": [{"text": "é"}]}]}}\n'
    home.drop("in-latin-1.jsonl", text.encode("latin-1"))

    refused = home.rejected("in-latin-1")

    assert "flawed" in refused.reason
    assert refused.flaws[0]["column"] == 10
    assert refused.flaws[0]["line"] == 1
    assert refused.flaws[0]["offset"] == 0
    assert refused.flaws[0]["message"]


def test_d10_lines_end_with_line_feeds_and_with_nothing_else(home):
    """CRLF is tolerated, the last line needs no end, and Unicode's separators are text."""
    strange = "a\u2028b\u2029c\u0085d\x7fe"
    lines = [line("crlf").rstrip() + b"\r\n", request(json.dumps(strange, ensure_ascii=False))]
    home.drop("ends.jsonl", b"".join(lines))

    results = home.delivered("ends")

    assert [one["key"] for one in results] == ["crlf", "k"]
    assert all("response" in one for one in results)
    text = (home.outbox / "ends" / "results.jsonl").read_bytes()
    assert text.count(b"\n") == 2


def test_d10_lone_carriage_returns_do_not_part_lines(home):
    """A file of the old Mac is one flawed line, and is told so."""
    home.drop("cr-only.jsonl", line("a").replace(b"\n", b"\r") + line("b").replace(b"\n", b"\r"))

    refused = home.rejected("cr-only")

    assert len(refused.flaws) == 1
    assert "LF" in refused.flaws[0]["message"]


HOSTILE = {
    "nul": b'{"key":"k\0","request":{}}',
    "bad-utf8": request('"x"').replace(b"x", b"\xc3\x28"),
    "overlong-utf8": request('"x"').replace(b"x", b"\xc0\xaf"),
    "utf8-surrogate": request('"x"').replace(b"x", b"\xed\xa0\x80"),
    "half-pair": request('"\\ud800"'),
    "too-deep": request("[" * 100_000 + "]" * 100_000),
    "deep-objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "nan": request("NaN"),
    "infinity": request("-Infinity"),
    "huge-number": request("1e999"),
    "twice": b'{"key":"k","key":"j","request":{"contents":[]}}',
    "twice-inside": b'{"key":"k","request":{"contents":[1],"contents":[2]}}',
    "not-an-object": b"[1, 2, 3]",
    "a-number": b"7",
    "torn": b'{"key":"k","request":{"contents":[{"par',
    "number-key": b'{"key":7,"request":{"contents":[]}}',
    "huge-key": b'{"key":"%s","request":{"contents":[]}}' % (b"k" * 70_000),
    "no-contents": b'{"key":"k","request":{}}',
    "trailing": request('"x"') + b" {}",
}


@pytest.fixture(scope="module")
def hostile(home):
    """Drop every hostile line between two good ones, all at once."""
    for name, middle in HOSTILE.items():
        data = line("first") + middle + b"\n" + line("last")
        home.drop(f"line-{name}.jsonl", data, MAY_BE_FLAWED + 'duplicate_set = "run"\n')
    return home


@pytest.mark.parametrize("name", HOSTILE)
def test_d11_d13_d14_d15_a_hostile_line_is_an_error_result(hostile, name):
    """A line that cannot be sent is an error with line and column; the others are answered."""
    first, middle, last = hostile.delivered(f"line-{name}", 90)

    assert (first["key"], last["key"]) == ("first", "last")
    assert "response" in first
    assert "response" in last
    assert middle["error"]["status"] == "INVALID_ARGUMENT"
    refused_there = name == "twice-inside"  # the service's own words, without our line
    assert refused_there or "line 2" in middle["error"]["message"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("control-escapes", '"\\u0000\\u001b[31m\\u202e"'), ("pair", '"\\ud83d\\ude00"')],
)
def test_d14_what_is_strict_json_goes_out_as_it_came(home, name, text):
    """Escapes of any character are strict JSON: the request is sent byte for byte, and answered."""
    home.drop(f"verbatim-{name}.jsonl", line("first") + request(text) + b"\n")

    results = home.delivered(f"verbatim-{name}")

    assert all("response" in one for one in results)


def test_d14_a_number_beyond_all_bounds_is_the_services_to_refuse(home):
    """An integer of 5,000 digits is JSON: the service refuses that line, and answers the other."""
    number = request('"x"}],"n":' + "9" * 5000 + ',"more":[{"text":"y"')
    home.drop("long-integer.jsonl", line("first") + number + b"\n")

    results = home.delivered("long-integer")

    assert "response" in results[0]
    assert results[1]["error"]["status"] == "INVALID_ARGUMENT"


def test_d15_a_key_that_occurs_twice_is_refused_with_both_lines(home):
    """Two lines of one key: the set is rejected, and both line numbers are told."""
    home.drop("twins.jsonl", line("a") + line("b") + line("a", "other"))

    refused = home.rejected("twins")

    told = " ".join(str(flaw) for flaw in refused.flaws)
    assert "duplicate_keys" in refused.reason
    assert "3" in told
    assert "1" in told


def test_d15_keys_that_occur_twice_may_be_allowed(home):
    """With `duplicate_keys = "allow"` each line has its own answer, in order."""
    home.drop(
        "twins-allowed.jsonl",
        line("a", "mark one") + line("a", "mark two"),
        'duplicate_keys = "allow"\n',
    )

    results = home.delivered("twins-allowed")

    assert [one["key"] for one in results] == ["a", "a"]
    assert "mark one" in json.dumps(results[0])
    assert "mark two" in json.dumps(results[1])


def test_d15_without_a_key_the_line_number_is_the_key(home):
    """A line without a key is known by its number, blank lines counted."""
    bare = b'{"contents":[{"parts":[{"text":"x"}]}]}\n'
    home.drop("keyless.jsonl", bare + b"\n" + bare)

    results = home.delivered("keyless")

    assert [one["key"] for one in results] == ["1", "3"]


def test_d18_foreign_uris_and_models_are_the_services_to_judge(home):
    """A `fileData` URI is passed on unread, and a line's own model does not change the batch's."""
    part = {"fileData": {"fileUri": "file:///etc/shadow", "mimeType": "text/plain"}}
    body = {"contents": [{"parts": [part]}]}
    other = {"model": "models/gemini-2.5-pro", "contents": [{"parts": [{"text": "x"}]}]}
    lines = [json.dumps({"key": str(n), "request": one}) for n, one in enumerate((body, other))]
    home.drop("uris.jsonl", "\n".join(lines).encode(), MAY_BE_FLAWED)

    results = home.delivered("uris")

    shadow = "root:"
    assert len(results) == 2
    assert shadow not in json.dumps(results)
    (job,) = [job for job in home.jobs if home.set("uris")["id"] in (job["display_name"] or "")]
    assert job["model"].endswith("gemini-2.5-flash")


def test_d19_a_key_in_a_prompt_is_the_users_text(home):
    """The daemon's own key in a prompt goes out and comes back untouched; the log stays clean."""
    text = f"canary-in-the-text {KEY} orc1-aaaaa-bbbbbbbbbb-1-cccccccccc"
    home.drop("canary.jsonl", line("canary-in-the-text", text))

    results = home.delivered("canary")

    assert KEY in json.dumps(results)
    assert KEY not in home.log
    assert KEY not in json.dumps(home.set("canary"))
