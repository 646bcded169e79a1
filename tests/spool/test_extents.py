"""Many spans of one file, however they lie."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from orchestrator.spool.extents import EXTENT_BYTES_MAX, VIEWED_BYTES, read_spans

DATA = bytes(np.random.default_rng(1).integers(0, 256, 2 * EXTENT_BYTES_MAX, np.uint8))
SPANS = st.lists(
    st.tuples(st.integers(0, len(DATA)), st.integers(0, 2 * VIEWED_BYTES)).map(
        lambda span: (span[0], min(span[1], len(DATA) - span[0]))
    ),
    min_size=1,
    max_size=30,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Return a file of known bytes, open for reading."""
    path: Path = tmp_path_factory.mktemp("extents") / "file"
    path.write_bytes(DATA)
    return os.open(path, os.O_RDONLY)


@settings(deadline=None, max_examples=60)
@given(SPANS, st.booleans(), st.sampled_from([0, 300, EXTENT_BYTES_MAX]))
def test_each_span_is_what_lies_there(
    file: int,
    spans: list[tuple[int, int]],
    in_order: bool,  # noqa: FBT001 - hypothesis chooses
    gap_max: int,
) -> None:
    """Near or far, short or long, in any order, doubled: each comes out in its place."""
    spans = sorted(spans) if in_order else spans
    starts, lengths = (np.array(column, np.int64) for column in zip(*spans, strict=True))

    found = read_spans(file, starts, lengths, gap_max)

    assert [bytes(span) for span in found] == [DATA[at : at + size] for at, size in spans]


@pytest.mark.parametrize("starts", [[0, 10, len(DATA) - 5], [len(DATA) - 5, 0, 10]])
def test_what_is_not_there_is_told(file: int, starts: list[int]) -> None:
    """A file that ends before a span does is an error, whether spans are scattered or not."""
    with pytest.raises(EOFError, match="no longer there"):
        read_spans(file, np.array(starts), np.full(3, 6), EXTENT_BYTES_MAX)
