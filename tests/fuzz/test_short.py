"""A short run of the fuzzers: the corpus, and a few hundred inputs of each kind."""

import pytest
from hypothesis import given, settings, strategies as st

from tests.fuzz.kept import CORPUS, grown
from tests.fuzz.targets import TARGETS

FILES = sorted(CORPUS.iterdir())
REQUEST = b'{"contents":[{"parts":[{"text":"x"}]}]}'
PIECES = st.sampled_from(
    [
        b'{"key":"a","request":',
        REQUEST,
        b"}\n",
        b"\n",
        b"\r\n",
        b"\\ud800",
        b"\xff",
        b"\xef\xbb\xbf",
        b'{"response":{"a":1},"key":"1"}\n',
        b'{"error":{"code":13},"key":"2"}\n',
        b'model = "m"\n',
        b"priority = 1\n",
        b"[limits]\n",
        b"[[[[",
    ]
) | st.sampled_from([b'"', b"{", b"]", b"1e999", b"\xe2\x80\xa8", b"\0", b","])
DATA = st.binary(max_size=200) | st.lists(PIECES | st.binary(max_size=5), max_size=12).map(b"".join)


@pytest.mark.parametrize("target", TARGETS)
@given(data=DATA)
@settings(max_examples=150, deadline=None)
def test_e7_d11_no_bytes_break_a_reader(target, data):
    """No bytes make a reader of strangers' bytes raise anything but its own errors."""
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_was_interesting_once_stays_harmless(target, file):
    """The corpus is read by every target."""
    TARGETS[target](file.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_what_atheris_grew_stays_harmless(target):
    """What was grown towards every corner of a reader is read by it."""
    for data in grown(target):
        TARGETS[target](data)
