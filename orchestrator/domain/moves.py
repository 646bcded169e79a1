"""One step of a state machine, as a value that is decided here and carried out by the store."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, TypeVar, get_args

Before = TypeVar("Before", covariant=True)
After = TypeVar("After", covariant=True)


@dataclass(frozen=True, slots=True)
class Move(Generic[Before, After]):
    """A transition that was decided and is not yet done.

    The store guards it by the whole of `before`: when anything of that value has changed since
    it was read, the move is stale and changes nothing.
    """

    before: Before
    after: After
    why: str = ""


def edges(table: Any) -> frozenset[tuple[str, str]]:
    """Return the pairs of state names that the union type `table` of moves allows."""
    return frozenset(
        (before.state, after.state)
        for move in _members(table)
        for before, after in product(*(_members(side) for side in get_args(move)))
    )


def _members(union: Any) -> Iterable[Any]:
    return get_args(union) or (union,)
