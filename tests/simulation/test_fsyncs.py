"""Every fsync of ours is there for something: most are missed when they are skipped."""

import pytest

from tests.simulation import fsyncs


def test_a_set_survives_whatever_its_producer_synced() -> None:
    """From its first row on, requests and options are on disk, though nobody else synced them."""
    labels = fsyncs.survey("inline")[1]
    commits = [n for n, label in enumerate(labels, 1) if label.startswith("after transact")]
    first = next(n for n in commits if labels[n - 1] == "after transact insert")

    for moment in [n for n in commits if n >= first][:4]:
        assert fsyncs.findings("inline", moment, frozenset()) == ()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_most_of_our_syncs_are_missed_when_they_are_skipped() -> None:
    """Each place is skipped in turn and power is cut: noticed, or listed with the reason."""
    places = fsyncs.places()
    noticed = {place for place, syncs in places.items() if fsyncs.noticed(syncs) is not None}

    assert set(places) - noticed <= set(fsyncs.UNNOTICED), "unexplained"
    assert len(noticed) >= fsyncs.SCORE_MIN * len(places)
