"""The numbers that decide: limits, patience and what is worth another try."""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

MEBIBYTE = 1 << 20
HOUR = timedelta(hours=1)
TURNAROUND_TARGET = timedelta(hours=24)  # what the service aims at for a batch
RETRYABLE_CODES = frozenset({1, 2, 4, 8, 10, 13, 14})
LEARNED_TOKENS_MIN = 100_000  # a learned limit of enqueued tokens never falls below this


class Remedy(Enum):
    """What is done about a job that failed as a whole."""

    SPLIT = "split"  # one of its requests is at fault: half by half until it is found
    LATER = "later"  # there was no room: less at a time, and later; it is no try
    GIVE_UP = "give up"  # it will never work
    AGAIN = "again"


# By google.rpc code; whatever is not named is tried again, as a new generation.
REMEDIES = {
    3: Remedy.SPLIT,  # INVALID_ARGUMENT
    8: Remedy.LATER,  # RESOURCE_EXHAUSTED
    11: Remedy.GIVE_UP,  # OUT_OF_RANGE
    12: Remedy.GIVE_UP,  # UNIMPLEMENTED
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service allows a project, and what a batch may hold. Bytes are as sent.

    With `count_tokens` the service is asked how many tokens a model's first requests have.
    """

    inline_max_bytes: int = 19 * 1000 * 1000
    file_max_bytes: int = 2_000_000_000
    requests_per_batch_max: int = 1_000_000
    active_jobs_max: int = 100
    storage_bytes_max: int = 20_000_000_000
    requests_per_minute: int = 60
    enqueued_tokens: dict[str, int] = field(default_factory=dict)
    batch_bytes_min: int = 1 * MEBIBYTE
    count_tokens: bool = False

    def tokens_max(self, model: str) -> int | None:
        """Return how many tokens of a model may be enqueued, None if nothing is known.

        What is said of a model holds for its versions, too: for all names that go on with a dash.
        """
        known = self.enqueued_tokens
        fitting = [name for name in known if model == name or model.startswith(f"{name}-")]
        return known[max(fitting, key=len)] if fitting else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon. `retryable` holds google.rpc codes of single requests."""

    generations_max: int = 5
    backoff_min: timedelta = timedelta(seconds=5)
    backoff_max: timedelta = timedelta(minutes=15)
    retryable: frozenset[int] = RETRYABLE_CODES


@dataclass(frozen=True, slots=True)
class SubmissionPolicy:
    """The two bounds that liveness is bought with, and what to do without evidence.

    `late_create` is D, the longest time after our give-up at which a sent create may still take
    effect; `list_lag` is L, the longest time a created job may be missing from the list. The
    service is told of a set's priority only if `tell_priority`.
    """

    create_timeout: timedelta = timedelta(seconds=120)
    late_create: timedelta = timedelta(seconds=900)
    list_lag: timedelta = timedelta(seconds=1800)
    hold: bool = False
    tell_priority: bool = False

    @property
    def window(self) -> timedelta:
        """Return W = D + L: how long absence must be seen before it is believed."""
        return self.late_create + self.list_lag


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How often the job list is read: often while jobs are young, seldom when they are old.

    A job older than `stuck_after` is reported; it is cancelled, so that its requests are sent
    again, only with `resubmit_stuck`: the service may still be about to answer it.
    """

    interval_min: timedelta = timedelta(seconds=30)
    interval_max: timedelta = timedelta(minutes=5)
    stuck_after: timedelta = timedelta(hours=50)
    resubmit_stuck: bool = False


def backoff(
    policy: RetryPolicy, failures: int, jitter: float, least: timedelta | None = None
) -> timedelta:
    """Return the wait after `failures` (from 1) in a row; `jitter` is in [0, 1).

    Full jitter over the upper half: never less than half the exponential step, nor than `least`,
    which is what the service asked for.
    """
    step = policy.backoff_min * (1 << min(failures - 1, 30))
    wait = min(step, policy.backoff_max) * (0.5 + jitter / 2)
    return wait if least is None else max(wait, least)


def next_look(policy: PollPolicy, youngest: timedelta, jitter: float) -> timedelta:
    """Return the wait until the next look when the youngest live job has this age."""
    wait = min(max(youngest / 10, policy.interval_min), policy.interval_max)
    return wait * (0.9 + jitter / 5)


def slowness(model: str, age: timedelta, wait: timedelta, poll: PollPolicy) -> str | None:
    """Say in words that a model is late, None while it is not.

    `age` is that of its oldest job; `wait` how long a request waits already, in whatever jobs.
    """
    hours, target = age / HOUR, TURNAROUND_TARGET / HOUR
    if age > poll.stuck_after:
        return f"the oldest job of {model} is {hours:.0f} h old and seems stuck, not only slow"
    if age > TURNAROUND_TARGET and wait < age + HOUR:
        return f"the oldest job of {model} is {hours:.0f} h old, the service aims at {target:.0f} h"
    if wait > TURNAROUND_TARGET:
        waited = f"requests of {model} have waited {wait / HOUR:.0f} h for an answer"
        return f"{waited}, through more than one job; the service aims at {target:.0f} h"
    return None
