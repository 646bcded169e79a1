"""What takes up places beside our live batches."""

from orchestrator.domain.ids import IdempotencyKey, JobName
from orchestrator.domain.jobs import JobState, Unrecognised
from orchestrator.domain.others import beside
from tests.store.values import snapshot

OURS = {IdempotencyKey("o-1"): JobName("batches/1"), IdempotencyKey("o-2"): None}


def test_jobs_of_live_batches_are_counted_there():
    """Neither a batch's job nor, of one in doubt, the job of its name is another's."""
    assert beside([snapshot("batches/1", "o-1"), snapshot("batches/2", "o-2")], OURS) == []


def test_twins_strays_and_strangers_take_up_places():
    """A second job of a batch, one with our name, and anybody else's are counted."""
    jobs = [
        snapshot("batches/1", "o-1"),
        snapshot("batches/twin", "o-1"),
        snapshot("batches/2", "o-2"),
        snapshot("batches/two", "o-2"),
        snapshot("batches/stray", "o-9"),
        snapshot("batches/else", "theirs", state=Unrecognised("PAUSED")),
    ]

    assert [job.name for job in beside(jobs, OURS)] == [
        "batches/twin",
        "batches/two",
        "batches/stray",
        "batches/else",
    ]


def test_what_has_ended_takes_up_none():
    """Whoever made it."""
    ended = [snapshot("batches/7", "theirs", state=state) for state in JobState]

    states = [job.state for job in beside(ended, OURS)]

    assert states == [JobState.UNSPECIFIED, JobState.PENDING, JobState.RUNNING]
