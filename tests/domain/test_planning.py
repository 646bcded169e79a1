"""The cutter: the pool once, in order, within limits, in alike parts."""

import numpy as np
from hypothesis import given, settings, strategies as st

from orchestrator.domain.ids import Ordinal
from orchestrator.domain.planning import (
    UNBOUNDED,
    Cut,
    Cutter,
    Measure,
    joined,
    ordinals_of,
    runs_of,
    stretches,
)

ITEMS = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9), st.booleans()), max_size=200)
BOUNDS = st.builds(
    Measure,
    st.integers(50, 400),
    st.integers(1, 60),
    st.one_of(st.integers(9, 90), st.just(UNBOUNDED)),
)


def _cuts(
    items: list[tuple[int, int, bool]], bounds: Measure, piece: int
) -> tuple[list[Cut], np.ndarray, np.ndarray]:
    gaps = np.array([1 + 3 * gap for _, _, gap in items], np.int64)
    ordinals = gaps.cumsum() - 1 if len(items) else np.empty(0, np.int64)
    sizes = np.array([size for size, _, _ in items], np.int64)
    tokens = np.array([token for _, token, _ in items], np.int64)
    cutter = Cutter(bounds, Measure(int(sizes.sum()), len(items), int(tokens.sum())))
    found: list[Cut] = []
    for start in range(0, len(items), piece):
        part = slice(start, start + piece)
        found += cutter.feed(ordinals[part], sizes[part], tokens[part])
    return [*found, *cutter.finish()], ordinals, sizes


@settings(deadline=None)
@given(ITEMS, BOUNDS, st.integers(1, 250))
def test_parts_hold_the_pool_once_in_order_within_bounds(
    items: list[tuple[int, int, bool]], bounds: Measure, piece: int
) -> None:
    """Whatever the pieces it is fed in, the parts are the pool, in order, none above a bound."""
    cuts, ordinals, sizes = _cuts(items, bounds, piece)

    held = [np.concatenate(list(ordinals_of(cut.runs, 7))) for cut in cuts]
    assert np.array_equal(np.concatenate([np.empty(0, np.int64), *held]), ordinals)
    assert all(cut.measure.within(bounds) for cut in cuts)
    assert sum(cut.measure.bytes for cut in cuts) == sizes.sum()
    assert [cut.measure.count for cut in cuts] == [len(one) for one in held]


@settings(deadline=None)
@given(ITEMS, BOUNDS, st.integers(1, 250), st.integers(1, 250))
def test_parts_do_not_depend_on_the_pieces(
    items: list[tuple[int, int, bool]], bounds: Measure, one: int, other: int
) -> None:
    """The same pool gives the same parts, however it is fed: so planning again finds the same."""
    first, second = _cuts(items, bounds, one)[0], _cuts(items, bounds, other)[0]

    assert [cut.runs.tolist() for cut in first] == [cut.runs.tolist() for cut in second]


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 100))
def test_equal_requests_make_equal_parts(count: int, most: int) -> None:
    """A count bound makes as few parts as can be, and their sizes differ by at most one."""
    cuts, _, _ = _cuts([(10, 0, False)] * count, Measure(UNBOUNDED, most, UNBOUNDED), 64)

    sizes = [cut.measure.count for cut in cuts]
    assert len(sizes) == -(-count // most)
    assert max(sizes) - min(sizes) <= 1


@settings(deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=400))
def test_no_part_is_a_small_rest(sizes: list[int]) -> None:
    """The smallest part is the mean less the grain of a request or two."""
    cuts, _, _ = _cuts([(size, 0, False) for size in sizes], Measure(1000, 1000, UNBOUNDED), 64)

    parts = [cut.measure.bytes for cut in cuts]
    assert min(parts) >= sum(sizes) / len(parts) - 2 * 50


def test_a_request_above_a_bound_is_a_part_of_its_own() -> None:
    """A bound that one request breaks is no reason to lose it, and none to loop."""
    cuts, _, _ = _cuts([(10, 0, False), (99, 0, False), (10, 0, False)], Measure(50, 9, 9), 9)

    assert [cut.measure.bytes for cut in cuts] == [10, 99, 10]


@settings(deadline=None)
@given(st.sets(st.integers(0, 300)), st.integers(1, 20))
def test_runs_and_ordinals_are_inverse(ordinals: set[int], piece: int) -> None:
    """Runs joined from pieces are the runs of the whole, and give back the same ordinals."""
    whole = np.array(sorted(ordinals), np.int64)
    runs = runs_of(whole)
    pieces = [runs_of(whole[at : at + piece]) for at in range(0, len(whole), piece)]

    assert [n for some in ordinals_of(runs, piece) for n in some.tolist()] == whole.tolist()
    if pieces:
        assert joined(pieces).tolist() == runs.tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), max_size=6), st.integers(0, 50))
def test_stretches_are_what_no_live_envelope_holds(
    live: list[tuple[int, int]], requests: int
) -> None:
    """Between the live envelopes lies everything else, in order."""
    envelopes = [(Ordinal(lo), Ordinal(lo + size)) for lo, size in live]

    free = stretches(envelopes, requests)

    found = [n for lo, hi in free for n in range(lo, hi)]
    assert found == [n for n in range(requests) if not any(lo <= n < hi for lo, hi in envelopes)]
