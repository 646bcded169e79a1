"""What may be ordered over the socket, and how the one who carries it out says no."""

from enum import StrEnum
from typing import Protocol

from pydantic import Field

from orchestrator.domain.ids import SetId
from orchestrator.status.views import View


class Verb(StrEnum):
    """The orders. The first four are for everybody, the others for a set that is in trouble."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    RELEASE = "release"
    DELETE_REMOTE = "delete-remote"
    ABSENT = "absent"
    ADOPT = "adopt"


MEANING = {
    Verb.CANCEL: "Start nothing new, cancel its jobs, deliver what was answered.",
    Verb.PAUSE: "Start nothing new; what is at the provider goes on.",
    Verb.RESUME: "Go on after a pause or a hold; of the caps the one that held the set is lifted.",
    Verb.RETRY: "Send again what failed, or was not answered when the set was cancelled.",
    Verb.RELEASE: "The same as resume, for a held set whose reason was seen to.",
    Verb.DELETE_REMOTE: "Delete the jobs and files of a finished set at the provider.",
    Verb.ABSENT: "Declare that the job of a batch held in doubt does not exist.",
    Verb.ADOPT: "Declare which job is that of a batch held in doubt.",
}


class Order(View):
    """What comes with an order: for most of them nothing."""


class Resumption(Order):
    """Up to what the set may go on: US dollars, its own cap from now on."""

    cap: str | None = Field(default=None, pattern=r"^[0-9]{1,9}(\.[0-9]{1,6})?$")


class Absence(Order):
    """Which batch has no job."""

    token: str = Field(max_length=64)


class Adoption(Absence):
    """Which batch has which job."""

    job: str = Field(pattern=r"^batches/[a-z0-9_-]{1,100}$")


BODIES: dict[Verb, type[Order]] = {
    Verb.RESUME: Resumption,
    Verb.RELEASE: Resumption,
    Verb.ABSENT: Absence,
    Verb.ADOPT: Adoption,
}


class Done(View):
    """What an order did, in words."""

    set_id: str
    verb: str
    message: str


class Impossible(Exception):
    """The order does not fit what the set is now; nothing was changed."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(f"{why}; {remedy}")
        self.why = why
        self.remedy = remedy


class Control(Protocol):
    """Carries out orders. They are written to the ledger before this returns."""

    async def act(self, verb: Verb, target: SetId, order: Order) -> str:
        """Carry out an order, of the kind that `BODIES` has for it, and return what was done.

        Raises Impossible.
        """
