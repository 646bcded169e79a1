"""What the model of submission is made of: the rules, the bounds, and the state of its world."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Phase: TypeAlias = Literal["planned", "submitting", "submitted", "held", "given_up"]
Doing: TypeAlias = Literal["off", "idle", "send", "wait", "doubt", "fenced"]
Fence: TypeAlias = Literal["none", "after", "first"]


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the daemon does. `window` is W in ticks; None stands for D + L."""

    window: int | None = None
    look_first: bool = True
    intent_first: bool = True
    match_any_generation: bool = True
    positive_control: bool = True
    whole_scans: bool = True
    window_restarts: bool = True
    server_errors_are_doubt: bool = True
    remembers_cuts: bool = True
    lock: bool = True
    fence: Fence = "after"
    hold: bool = False


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the world may do: D, L, and how often each kind of trouble may strike."""

    late_create: int = 2
    list_lag: int = 2
    generations: int = 2
    daemons: int = 1
    crashes: int = 2
    rollbacks: int = 0
    lies: int = 0
    expiries: int = 0


class Ledger(NamedTuple):
    """What is committed: how far the newest generation has come."""

    phase: Phase
    generation: int


class Daemon(NamedTuple):
    """One process. `age` counts ticks since it started after a cut, `waited` since doubt."""

    doing: Doing
    generation: int = 0
    waited: int = 0
    age: int = 0
    looked: bool = False


class Job(NamedTuple):
    """The provider's object. `age` counts ticks since its creation."""

    generation: int
    age: int = 0
    visible: bool = False
    expired: bool = False


class State(NamedTuple):
    """The whole world. `past` holds the ledger's newest commits, `flights` creates under way.

    `intact` is False from a power cut until a life has looked for the whole window.
    """

    ledger: Ledger
    past: tuple[Ledger, ...]
    daemons: tuple[Daemon, ...]
    flights: tuple[tuple[int, int], ...]
    jobs: tuple[Job, ...]
    fenced: frozenset[int]
    intact: bool
    crashes: int
    rollbacks: int
    lies: int
    expiries: int


PAST = 3


def paid_twice(state: State) -> bool:
    """Tell whether more than one job for the same requests runs to its end."""
    return sum(not job.expired for job in state.jobs) > 1


def at_rest(state: State) -> bool:
    """Tell whether the range came to an end that the ledger knows, or waits for the operator."""
    return state.ledger.phase in ("submitted", "held", "given_up")


def commit(state: State, ledger: Ledger) -> State:
    """Write the ledger; the older commits are kept while a power cut may bring them back."""
    past = (*state.past, state.ledger)[-PAST:] if state.rollbacks else ()
    return state._replace(ledger=ledger, past=past)


def with_daemon(state: State, which: int, daemon: Daemon) -> State:
    """Change one daemon."""
    return state._replace(daemons=(*state.daemons[:which], daemon, *state.daemons[which + 1 :]))


def with_job(state: State, index: int, job: Job) -> State:
    """Change one job."""
    return state._replace(jobs=tuple(sorted((*state.jobs[:index], job, *state.jobs[index + 1 :]))))
