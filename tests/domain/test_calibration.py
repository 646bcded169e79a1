"""Calibration: what was counted decides over what was guessed."""

from dataclasses import replace

from hypothesis import given, strategies as st

from orchestrator.domain.calibration import (
    TOKENS_PER_BYTE,
    Estimates,
    Lesson,
    guess,
    planned_max,
    rate,
    text_bytes,
    tokens_in,
)
from tests.store.values import planned

NOTHING = Lesson()
FEW = st.integers(min_value=1, max_value=10**9)


@given(tokens=FEW, size=FEW, guessed=st.floats(0.001, 1))
def test_what_a_set_has_taught_goes_before_all_else(tokens: int, size: int, guessed: float):
    """A set with answers is estimated by them, whatever its guess and its model say."""
    assert rate(guessed, Lesson(tokens, size), Lesson(7, 9)) == tokens / size


@given(size=st.integers(10**6, 10**9), guessed=st.floats(0.001, 1), factor=st.floats(0.1, 10))
def test_a_model_corrects_the_guess_of_sets_of_another_kind(
    size: int, guessed: float, factor: float
):
    """Pictures that were counted at a multiple of their guess say the same of texts."""
    counted = max(int(size * guessed * factor), 1)
    model = Lesson(counted, text_bytes(size, guessed))

    taught = rate(TOKENS_PER_BYTE, NOTHING, model)

    assert taught is not None
    assert abs(taught - TOKENS_PER_BYTE * factor) <= 0.2 * TOKENS_PER_BYTE * factor


def test_what_nobody_has_taught_stays_as_it_was_planned():
    """Without a lesson, or one without tokens, a batch has the tokens of its plan."""
    part = planned().part

    assert rate(0.1, NOTHING, Lesson(0, 5)) is None
    assert Estimates().tokens(part) == part.tokens
    assert Estimates({part.request_set: 0.5}).tokens(part) == -(-part.wire_bytes // 2)
    assert Estimates({part.request_set: 0.5}).tokens(replace(part, wire_bytes=0)) == 0


def test_a_set_of_which_nothing_is_known_is_taken_for_text():
    """No bytes or no tokens give no guess of their own."""
    assert guess(0, 0) == guess(0, 10) == TOKENS_PER_BYTE
    assert guess(10, 1_000) == 0.01


def test_a_new_batch_leaves_room_for_its_estimate_to_grow():
    """Below the limit, never below one token, and unbounded where no limit is known."""
    assert [planned_max(limit) for limit in (None, 1, 1_000)] == [None, 1, 900]


def test_media_are_not_taken_for_text():
    """A long base64 string has the tokens of its size, the rest those of text."""
    picture = b'{"inlineData":{"mimeType":"image/png","data":"%s"}}'

    small, large = tokens_in(picture % (b"A" * 99_000)), tokens_in(picture % (b"A" * 250_000))

    assert 258 < small <= 258 + tokens_in(picture % b"")
    assert large - small == 2 * 258
    assert tokens_in(b'{"text":"%s"}' % (b"word " * 100)) == 128
