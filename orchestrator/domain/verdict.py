"""Why a drop cannot be accepted as a whole, and what stands for options that cannot be read."""

from typing import Protocol

from orchestrator.domain.ids import ProjectName
from orchestrator.domain.options import Choice

NO_CHOICE = Choice(
    profile="",
    project=ProjectName("default"),
    model="",
    kind="generate",
    priority=0,
    requests_max=None,
    batch_bytes_max=None,
    generations_max=1,
    parts=False,
    duplicate_keys="reject",
    duplicate_set="run",
    idempotency_key=None,
    defaults=None,
    shape="off",
    flaws_max_fraction=0.0,
    cost_max_micros=None,
    canonical="{}",
)


class Read(Protocol):
    """What was read of a drop. `problem` says why nothing of it can be used."""

    @property
    def requests(self) -> int: ...
    @property
    def flawed(self) -> int: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def problem(self) -> str | None: ...


def flaw_of_the_whole(read: Read, choice: Choice) -> str | None:
    """Tell why a drop cannot be accepted as a whole, None if it can."""
    if read.problem is not None:
        return read.problem
    if read.requests == 0:
        return "there is no request in it: the file is empty or has only blank lines"
    if read.duplicates and choice.duplicate_keys == "reject":
        return (
            f"{read.duplicates} keys occur more than once; make them unique, "
            'or set duplicate_keys = "allow"'
        )
    if read.flawed > choice.flaws_max_fraction * read.requests:
        return (
            f"{read.flawed} of {read.requests} lines are flawed, more than "
            f"flaws_max_fraction = {choice.flaws_max_fraction:g} allows"
        )
    return None
