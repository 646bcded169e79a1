"""What was found out about a model before anything of its sets is sent."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Judged:
    """A flaw, or why the check could not be made; neither when all is well."""

    flaw: str | None = None
    unchecked: str | None = None


@dataclass(frozen=True, slots=True)
class NotYet:
    """The service has not said; it is asked again at `not_before` (elapsed seconds)."""

    not_before: float


Verdict: TypeAlias = Judged | NotYet
