from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from orchestrator.domain.batches import (
    Batch,
    Collected,
    Ended,
    Lapsed,
    LapseReason,
    Part,
    Planned,
    Submitted,
    Submitting,
    Tally,
    Uploaded,
    Usage,
    is_live,
)
from orchestrator.domain.ids import AccountFingerprint, JobName
from orchestrator.domain.jobs import JobError, JobState
from orchestrator.domain.request_sets import (
    Cancelled,
    Delivered,
    Flags,
    Indexed,
    Received,
    Rejected,
    RequestSet,
    Running,
    SetInfo,
    Totals,
    is_open,
)
from orchestrator.status.batches_shown import batch_view
from orchestrator.status.figures import dollars, seconds_between
from orchestrator.status.sets_shown import expected_end, fold, set_view
from orchestrator.status.views import SetView

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB, ACCOUNT = JobName("batches/x"), AccountFingerprint("a")
TIMES = st.timedeltas(timedelta(days=-400), timedelta(days=400)).map(lambda gap: NOW + gap)
KINDS = st.sampled_from(["generate", "embed"])
COUNTS = st.integers(0, 10**9)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

INFOS = st.builds(
    SetInfo,
    id=st.just("a" * 10),
    name=WORDS,
    profile=WORDS,
    project=WORDS,
    model=WORDS,
    folder=WORDS,
    outbox=WORDS,
    fingerprint=WORDS,
    content=WORDS,
    content_bytes=COUNTS,
    requests=st.just(10**10),
    flawed=COUNTS,
    tokens=COUNTS,
    priority=st.integers(-1000, 1000),
    run=COUNTS,
    options=WORDS,
    answered_from=st.none() | st.just("b" * 10),
    kind=KINDS,
    received_at=TIMES,
)
TOTALS = st.integers(0, 10**10).map(lambda answered: Totals(answered, 10**10 - answered))
TALLIES = st.builds(
    Tally, answered=COUNTS, failed=COUNTS, retryable=COUNTS, missing=COUNTS, given_up=COUNTS
)
USAGES = st.builds(Usage, prompt=COUNTS, cached=COUNTS, candidates=COUNTS, thoughts=COUNTS)
PARTS = st.builds(
    Part,
    token=WORDS,
    request_set=st.just("a" * 10),
    serial=st.integers(1, 10**6),
    generation=st.integers(1, 15),
    lo=COUNTS,
    hi=COUNTS,
    count=COUNTS,
    wire_bytes=COUNTS,
    tokens=COUNTS,
    ranges=WORDS,
    model=WORDS,
    project=WORDS,
    kind=KINDS,
    mode=st.sampled_from(["inline", "file"]),
)
JOBS = {
    "part": PARTS,
    "file": st.none() | WORDS,
    "job": WORDS,
    "account": WORDS,
    "submitted_at": TIMES,
}
ENDS = {
    "ended_at": TIMES,
    "outcome": st.sampled_from(JobState),
    "error": st.none() | st.builds(JobError, code=st.integers(0, 16), message=WORDS),
}
PLANNED = st.builds(Planned, part=PARTS, upload=COUNTS, not_before=TIMES)
UPLOADED = st.builds(
    Uploaded, part=PARTS, upload=COUNTS, file=WORDS, file_expires=TIMES, not_before=TIMES
)
BATCHES: st.SearchStrategy[Batch] = st.one_of(
    PLANNED,
    UPLOADED,
    st.builds(
        Submitting,
        origin=PLANNED | UPLOADED,
        intended_at=TIMES,
        account=WORDS,
        epoch=COUNTS,
        doubt=st.sampled_from(["sending", "in_doubt", "fenced", "held"]),
    ),
    st.builds(Submitted, **JOBS),
    st.builds(Ended, **JOBS, **ENDS),
    st.builds(Collected, **JOBS, **ENDS, collected_at=TIMES, tally=TALLIES, usage=USAGES),
    st.builds(
        Lapsed, part=PARTS, reason=st.sampled_from(LapseReason), detail=WORDS, lapsed_at=TIMES
    ),
)
SETS: st.SearchStrategy[RequestSet] = st.one_of(
    st.builds(Received, info=INFOS),
    st.builds(Indexed, info=INFOS),
    st.builds(Running, info=INFOS, batch_bytes_max=COUNTS),
    st.builds(Delivered, info=INFOS, delivered_at=TIMES, totals=TOTALS, summary_sha256=WORDS),
    st.builds(Rejected, info=INFOS, reason=WORDS, rejected_at=TIMES),
    st.builds(Cancelled, info=INFOS, cancelled_at=TIMES, totals=TOTALS, summary_sha256=WORDS),
)
FLAGS = st.builds(Flags, held=st.none() | WORDS)


def price(model, usage):
    return usage.prompt * 3 + usage.candidates * 7 if len(model) % 2 else None


@given(SETS, FLAGS, st.lists(BATCHES, max_size=6))
def test_the_requests_of_a_set_always_add_up(value, flags, batches):
    """In every state, with whatever batches: answered + failed + open = requests, none below 0."""
    of = fold(value, flags, batches)
    view = set_view(of, price, None, NOW)

    assert view.answered + view.failed + view.open == view.requests
    assert min(view.answered, view.failed, view.open) >= 0
    counts = view.batches.model_dump()
    doubtful = counts.pop("in_doubt")
    assert sum(counts.values()) == len(batches)
    assert doubtful <= counts["submitting"]
    assert (view.finished_at is None) == is_open(value)
    assert SetView.model_validate_json(view.model_dump_json()) == view


def test_what_is_sent_again_is_open(make):
    """After a retry the failures of before are at the service once more: they count as open."""
    tried = Collected(
        make.part(make.info(1), 1, count=9), None, JOB, ACCOUNT, NOW, NOW, JobState.SUCCEEDED,
        None, NOW, Tally(answered=5, failed=4), Usage(),
    )  # fmt: skip
    again = Submitted(make.part(make.info(1), 2, count=4), None, JOB, ACCOUNT, NOW)

    before = set_view(fold(Running(make.info(1), 1), Flags(), [tried]), price, None, NOW)
    after = set_view(fold(Running(make.info(1), 1), Flags(), [tried, again]), price, None, NOW)

    assert (before.answered, before.failed, before.open) == (5, 5, 0)
    assert (after.answered, after.failed, after.open) == (5, 1, 4)


@given(SETS, FLAGS)
def test_a_finished_set_is_shown_as_what_it_came_to(value, flags):
    """No flag covers the end of a set; an open one shows the gravest of its flags."""
    view = set_view(fold(value, flags, []), price, None, NOW)

    if not is_open(value):
        assert view.display == value.state
    elif flags.cancel_asked:
        assert view.display == "cancelling"
    elif flags.held is not None:
        assert view.display == "held"
        assert view.remedy
    else:
        assert (view.display == "paused") == flags.paused


@pytest.mark.parametrize(
    ("reason", "flawed", "remedy"),
    [
        ("9 of 9 lines are flawed", 9, "correct what rejected/set-1/flaws.jsonl names and drop it"),
        ("no model: name one", 0, "correct it and drop it again"),
        ("2 keys occur twice; make them unique", 0, "make them unique; then drop it again"),
        ("its name must end in .jsonl; rename it", 0, "rename it; then drop it again"),
        ("it is a symbolic link; drop the file itself", 0, "drop the file itself"),
    ],
)
def test_a_refusal_says_what_to_do_before_it_is_dropped_again(make, reason, flawed, remedy):
    """The remedy is the reason's own, else where the flaws lie, and never both."""
    of = fold(Rejected(make.info(1, flawed=flawed), reason, NOW), Flags(), [])

    view = set_view(of, make.cost, None, NOW)

    assert view.reason == reason.partition("; ")[0]
    assert view.remedy is not None
    assert view.remedy.startswith(remedy)
    assert view.remedy.count("drop") == 1


@given(BATCHES, st.none() | WORDS, st.none() | COUNTS)
def test_every_batch_can_be_shown(batch, job_state, uploaded):
    """A batch in any state has a view that says what it has, and nothing that it has not."""
    view = batch_view(batch, NOW, job_state, uploaded)

    assert view.state == batch.state
    assert (view.doubt is None) != isinstance(batch, Submitting)
    assert (view.tally is None) != isinstance(batch, Collected)
    assert view.job is None or view.submitted_at is not None
    assert view.outcome is None or not is_live(batch) or batch.state == "ended"
    assert type(view).model_validate_json(view.model_dump_json()) == view


@given(st.integers(-(10**15), 10**15))
def test_money_is_exact(micros):
    """A decimal string of dollars has every micro-dollar."""
    text = dollars(micros)

    assert text is not None
    assert Decimal(text) * 1_000_000 == micros


@given(TIMES, TIMES)
def test_ages_are_never_negative(earlier, later):
    """A clock that was set back makes an age 0, not less."""
    assert seconds_between(earlier, later) >= 0


def ended_in(make, batches, **fields):
    of = fold(Running(make.info(1), 1), Flags(**fields), batches)
    return expected_end(of, timedelta(hours=3), 2, NOW)


def submitted(make, serial, at):
    return Submitted(make.part(make.info(1), serial), None, JOB, ACCOUNT, at)


def test_the_end_is_guessed_from_how_long_jobs_took(make):
    """The newest job's usual end, or as many waves as the unsent batches need, if that is later."""
    running = submitted(make, 1, NOW - timedelta(hours=1))
    unsent = [Planned(make.part(make.info(1), serial), 1, NOW) for serial in range(2, 7)]

    assert ended_in(make, [running]) == NOW + timedelta(hours=2)
    assert ended_in(make, [running, *unsent]) == NOW + timedelta(hours=9)
    assert ended_in(make, []) == NOW + timedelta(hours=3)
    assert ended_in(make, [submitted(make, 1, NOW - timedelta(hours=9))]) == NOW
    assert ended_in(make, [running], paused=True) is None
    assert ended_in(make, [running], held="why") is None


def test_without_a_past_no_end_is_guessed(make):
    """Before a job of the model was seen to end, nothing is promised."""
    of = fold(Running(make.info(1), 1), Flags(), [])

    assert expected_end(of, None, 2, NOW) is None


@pytest.mark.parametrize(
    ("answered", "estimate"), [(0, "0.002000"), (3, "0.000300"), (9, "0.000100")]
)
def test_the_cost_is_extrapolated_from_what_was_answered(make, answered, estimate):
    """Before the first answer answers as long as prompts are expected; then what so many cost."""
    part = make.part(make.info(1))
    batch = Collected(
        part, None, JOB, ACCOUNT, NOW, NOW, JobState.SUCCEEDED, None, NOW,
        Tally(answered=answered), Usage(prompt=100 if answered else 0),
    )  # fmt: skip

    view = set_view(fold(Running(make.info(1), 1), Flags(), [batch]), make.cost, None, NOW)

    assert view.cost_estimate == estimate


def test_what_a_model_has_used_before_tells_what_its_answers_will_cost(make):
    """Thoughts may be many times the prompt: who has seen them expects them. Vectors are free."""
    of = fold(Running(make.info(1), 1), Flags(), [])
    embed = fold(Running(replace(make.info(1), kind="embed"), 1), Flags(), [])
    taught = Usage(prompt=10, candidates=20, thoughts=50)

    guessed = [
        set_view(of, make.cost, None, NOW, taught).cost_estimate,
        set_view(embed, make.cost, None, NOW).cost_estimate,
    ]

    assert guessed == ["0.008000", "0.001000"]


def test_a_model_without_a_price_has_no_cost(make):
    """Where nobody knows the price, null is shown and not 0."""
    of = fold(Running(make.info(1, model="own"), 1), Flags(), [])

    view = set_view(of, make.cost, None, NOW)

    assert (view.cost, view.cost_estimate) == (None, None)
