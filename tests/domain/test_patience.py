from datetime import timedelta

import pytest

from orchestrator.domain.patience import MUTE_WAITS, SHORTFALLS_MAX, Patience

PAUSE = timedelta(minutes=15)


def test_a_few_downloads_with_some_answers_are_enough():
    """What lacks answers each time is taken as it is with the third download."""
    patience = Patience()
    ends = []
    for now in range(SHORTFALLS_MAX):
        ends.append(patience.is_at_an_end(now, PAUSE))
        patience.fell_short(now, answered=1)

    assert ends == [False, False, True]


@pytest.mark.parametrize("answered", [0, 1])
def test_an_output_without_any_answer_is_believed_only_when_it_lasts(answered):
    """Hours of nothing are needed; a single answer in between begins the wait anew."""
    patience, long = Patience(), MUTE_WAITS * PAUSE.total_seconds()
    for now in range(10):
        patience.fell_short(now, answered=0)
    soon = patience.is_at_an_end(long - 1, PAUSE)
    patience.fell_short(long - 1, answered=answered)
    patience.fell_short(long - 1, answered=0)

    assert not soon
    assert patience.is_at_an_end(long, PAUSE) == (answered == 0)
