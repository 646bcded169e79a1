"""Walk every state of a small model, breadth first; bring back the shortest way to a bad one."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

State = TypeVar("State", bound=Hashable)
Step: TypeAlias = tuple[str, State]


class TooLarge(Exception):
    """The model has more states than it was given room for; nothing is proven."""


@dataclass(frozen=True)
class Verdict(Generic[State]):
    """What an exhaustive walk found. Each trace is the shortest one, step by step, or None.

    `unsafe` leads to a state that must never be; `stuck` to one from which no way leads to a
    state of rest any more.
    """

    states: int
    unsafe: tuple[str, ...] | None
    stuck: tuple[str, ...] | None


def explore(
    first: State,
    steps: Callable[[State], Iterable[Step[State]]],
    *,
    bad: Callable[[State], bool],
    rest: Callable[[State], bool],
    room: int = 400_000,
) -> Verdict[State]:
    """Walk all that can be reached from `first`; stops at the first bad state."""
    came: dict[State, tuple[State, str] | None] = {first: None}
    back: dict[State, list[State]] = {}
    due = deque([first])
    while due:
        here = due.popleft()
        for label, there in steps(here):
            back.setdefault(there, []).append(here)
            if there in came:
                continue
            came[there] = (here, label)
            if bad(there):
                return Verdict(len(came), _trace(came, there), None)
            if len(came) > room:
                raise TooLarge(f"more than {room} states")
            due.append(there)
    return Verdict(len(came), None, _first_stuck(came, back, rest))


def _first_stuck(
    came: dict[State, tuple[State, str] | None],
    back: dict[State, list[State]],
    rest: Callable[[State], bool],
) -> tuple[str, ...] | None:
    """Go backwards from all states of rest; what is never met cannot come to rest."""
    hopeful = {state for state in came if rest(state)}
    due = list(hopeful)
    while due:
        for before in back.get(due.pop(), ()):
            if before not in hopeful:
                hopeful.add(before)
                due.append(before)
    return next((_trace(came, state) for state in came if state not in hopeful), None)


def _trace(came: dict[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    labels = []
    step = came[state]
    while step is not None:
        state, label = step
        labels.append(label)
        step = came[state]
    return tuple(reversed(labels))
