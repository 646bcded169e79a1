"""Answers that still hold because the ledger has not changed since they were read.

Most looks at the ledger find what the last look found. One process has it to itself, so every
change passes here, and between two changes a query with the same arguments has the same answer.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from copy import copy
from types import FunctionType
from typing import Any, Final, TypeVar

T = TypeVar("T")
KEPT_MAX: Final = 64
MISSING: Final = object()


class Memo:
    """The newest answers, none of them older than the last change."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()
        self.changes = 0

    def changed(self) -> None:
        """Forget everything: before a change begins, and again when it has ended."""
        self.changes += 1
        self._answers.clear()

    async def answer(
        self,
        ask: Callable[[], Awaitable[T]],
        work: Callable[..., T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> T:
        """Return what is known of this question; `ask` is called for what is not."""
        key, changes = key_of(work, args, kwargs), self.changes
        known: T = self.get(key)
        if known is not MISSING:
            return known
        answer = await ask()
        self.keep(key, changes, answer)
        return answer

    def get(self, key: Hashable) -> Any:
        """Return the answer, `MISSING` when it must be read.

        The list or record itself is the caller's own; what is in it is shared and never changed.
        """
        if key is None or key not in self._answers:
            return MISSING
        self._answers.move_to_end(key)
        return copy(self._answers[key])

    def keep(self, key: Hashable, changes: int, answer: Any) -> None:
        """Keep what was read while `changes` stood; a change since then makes it worthless."""
        if key is None or changes != self.changes:
            return
        self._answers[key] = copy(answer)
        if len(self._answers) > KEPT_MAX:
            self._answers.popitem(last=False)


def key_of(work: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    """Return what tells one question from another, None for one that may see more than the ledger.

    A method or a closure may.
    """
    if not isinstance(work, FunctionType) or work.__closure__ is not None:
        return None
    key = (work, args, tuple(kwargs.items()))
    try:
        hash(key)
    except TypeError:
        return None
    return key
