"""An output that stops in the middle of its last line has no answer there."""

import pytest

from orchestrator.domain.answers import read_lines
from orchestrator.domain.found import NO_KEY, NOT_JSON, NOT_UTF8

WHOLE = b'{"key":"5","response":{"candidates":[]}}\n'


@pytest.mark.parametrize(
    ("torn", "code"),
    [
        (b'{"key":"6","response":{"candidates":[{', NOT_JSON),
        (b'{"metadata":{"key":"6"},"response":{"a":"\xc3', NOT_UTF8),
    ],
)
def test_the_request_that_a_cut_line_names_counts_as_missing(torn: bytes, code: int) -> None:
    """Cut off it settles nothing; ended by a newline, the same words are an answer of no use."""
    cut = read_lines(WHOLE + torn, 0).found
    ended = read_lines(WHOLE + torn + b"\n", 0).found

    assert cut["ordinal"].tolist() == [5, NO_KEY]
    assert ended["ordinal"].tolist() == [5, 6]
    assert cut["code"][1] == ended["code"][1] == code
