"""What is shown on the wire: the one source of every response, its schema and its field names.

Times are RFC 3339 in UTC ("…Z"), counts are integers, sizes are bytes, ages are whole seconds and
money is a decimal string of US dollars. Fields are only ever added: scripts rely on them.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SetState = Literal["received", "indexed", "running", "delivered", "rejected", "cancelled"]
Display = Literal[
    "reading",
    "queued",
    "running",
    "paused",
    "held",
    "cancelling",
    "delivered",
    "rejected",
    "cancelled",
]
BatchState = Literal[
    "planned", "uploaded", "submitting", "submitted", "ended", "collected", "lapsed"
]
Money = Annotated[str, Field(pattern=r"^-?\d+\.\d{6}$", examples=["0.012500"])]
Count = Annotated[int, Field(ge=0)]


class View(BaseModel):
    """The base of everything shown: frozen, and nothing that is not listed."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_timedelta="float")


class Condition(View):
    """Something that is wrong, and what to do about it.

    `fatal` makes the daemon not ready; `passing` is what ends without anybody's help.
    """

    kind: str
    subject: str
    message: str
    remedy: str
    since: AwareDatetime
    fatal: bool
    passing: bool


class UsageView(View):
    """Tokens as the service counted them, over everything that was answered."""

    prompt_tokens: Count
    cached_tokens: Count
    candidate_tokens: Count
    thought_tokens: Count


class SetCounts(View):
    """Sets by what is shown of them."""

    reading: Count = 0
    queued: Count = 0
    running: Count = 0
    paused: Count = 0
    held: Count = 0
    cancelling: Count = 0
    delivered: Count = 0
    rejected: Count = 0
    cancelled: Count = 0


class BatchCounts(View):
    """Batches by state; `in_doubt` are those of `submitting` whose outcome is not known."""

    planned: Count = 0
    uploaded: Count = 0
    submitting: Count = 0
    submitted: Count = 0
    ended: Count = 0
    collected: Count = 0
    lapsed: Count = 0
    in_doubt: Count = 0


class IncidentView(View):
    """Something that may have cost money; `cost` estimates how much."""

    at: AwareDatetime
    kind: str
    token: str | None
    detail: str
    requests: Count
    cost: Money


class SetView(View):
    """One request set. `answered + failed + open = requests`; `failed` includes the flawed.

    `display` is what a person wants to know; `state` is the machine's. `reason` says why it is held
    or rejected, or what is asked of the operator about its batches, and `remedy` what to do then.
    `cost` is what it cost so far, `cost_estimate` what it will have cost, prompts and answers; both
    are null without a price for the model. `outbox` is the folder of its results, which two sets of
    one name never share. `oldest_job_age_seconds` compares with the provider's target of 24 hours.
    """

    id: str
    name: str
    profile: str
    project: str
    kind: Literal["generate", "embed"]
    model: str
    priority: int
    state: SetState
    display: Display
    reason: str | None
    remedy: str | None
    requests: Count
    answered: Count
    failed: Count
    open: Count
    flawed: Count
    generation: Count
    batches: BatchCounts
    bytes: Count
    tokens: Count
    usage: UsageView
    cost: Money | None
    cost_estimate: Money | None
    run: int
    answered_from: str | None
    outbox: str | None
    received_at: AwareDatetime
    first_submitted_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    oldest_job_age_seconds: Count | None
    estimated_end_at: AwareDatetime | None


class ErrorView(View):
    """What the service said about a job that failed; `code` is a google.rpc code."""

    code: int
    message: str


class TallyView(View):
    """How the requests of a collected batch came out."""

    answered: Count
    failed: Count
    retryable: Count
    missing: Count
    given_up: Count


class BatchView(View):
    """One batch: a part of a set that becomes at most one job, ever.

    `doubt` tells how far an unknown outcome has come; `held` waits for `:absent` or `:adopt`.
    `job_state` is what the provider said last; `outcome` how the job ended, or why the batch
    lapsed. `age_seconds` runs from the submission to the end of the job.
    """

    token: str
    set_id: str
    serial: Count
    generation: Count
    state: BatchState
    doubt: Literal["sending", "in_doubt", "fenced", "held"] | None
    mode: Literal["inline", "file"]
    model: str
    project: str
    requests: Count
    bytes: Count
    bytes_uploaded: Count | None
    tokens: Count
    job: str | None
    job_state: str | None
    outcome: str | None
    detail: str | None
    error: ErrorView | None
    not_before: AwareDatetime | None
    submitted_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    collected_at: AwareDatetime | None
    age_seconds: Count | None
    tally: TallyView | None
    usage: UsageView | None


class EventView(View):
    """One step that was taken and committed. `source` is null for what came into being."""

    id: Count
    at: AwareDatetime
    set_id: str
    token: str | None
    source: str | None
    target: str
    why: str


class SetPage(View):
    """Sets, newest first; `next` is the cursor of the following page."""

    items: list[SetView]
    next: str | None


class BatchPage(View):
    """The batches of a set in the order of their serial numbers."""

    items: list[BatchView]
    next: str | None


class EventPage(View):
    """Events, oldest first; ask again with `after` = `next` for what follows."""

    items: list[EventView]
    next: str | None


class Health(View):
    """The process answers."""

    status: Literal["ok"]
