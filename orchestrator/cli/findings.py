"""What a doctor says: one finding a check, with a remedy where something is not well."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check; `remedy` is empty when there is nothing to do."""

    check: str
    verdict: Verdict
    said: str
    remedy: str = ""


Findings: TypeAlias = Iterator[Finding]
Check: TypeAlias = Callable[[], Findings]


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "ok", said)


def warn(check: str, said: str, remedy: str) -> Finding:
    """It works, and should be mended."""
    return Finding(check, "warn", said, remedy)


def fail(check: str, said: str, remedy: str) -> Finding:
    """It will not work until it is mended."""
    return Finding(check, "fail", said, remedy)


def skip(check: str, said: str) -> Finding:
    """It could not be looked at."""
    return Finding(check, "skip", said)


def parted(message: str) -> tuple[str, str]:
    """Part a message of ours into what is wrong and what to do about it."""
    said, _, remedy = message.partition("; ")
    return said, remedy or "see docs/errors.md"
