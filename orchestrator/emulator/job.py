"""One job: what was ordered, how it will go, and how far it is."""

from dataclasses import dataclass

import msgspec

from orchestrator.emulator.faults import Fault

PENDING, RUNNING = "BATCH_STATE_PENDING", "BATCH_STATE_RUNNING"
SUCCEEDED, FAILED = "BATCH_STATE_SUCCEEDED", "BATCH_STATE_FAILED"
CANCELLED, EXPIRED = "BATCH_STATE_CANCELLED", "BATCH_STATE_EXPIRED"
ACTIVE_STATES = frozenset({PENDING, RUNNING})
ENDS = frozenset({SUCCEEDED, FAILED, CANCELLED, EXPIRED})


class Fate(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a job will go: drawn at create from the settings and the faults."""

    pending: float = 0.0
    running: float = 0.0
    skip_running: bool = False
    end: str = SUCCEEDED
    code: int = 0
    message: str = ""
    details: list[dict[str, object]] = []
    stuck: bool = False
    never_runs: bool = False
    unknown_state: str = ""
    vanish_after: float | None = None
    output_after: float = 0.0
    hide_for: float = 0.0
    get_lag: float = 0.0
    shuffle: bool = False
    cut_last_line: bool = False
    served_fraction: float = 1.0
    skew: float = 0.0


class Job(msgspec.Struct, kw_only=True):
    """One job. `served` are the requests answered when it ended; `failed` those of them that are
    errors.
    """

    number: int
    id: str
    project: str
    kind: str
    model: str
    count: int
    tokens: int
    created: int
    age: float
    fate: Fate
    display_name: str | None = None
    priority: int = 0
    input_file: str | None = None
    state: str = PENDING
    updated: int = 0
    started_age: float | None = None
    ended: int | None = None
    ended_age: float | None = None
    cancel_age: float | None = None
    code: int | None = None
    message: str | None = None
    served: int = 0
    failed: int = 0
    row_errors: int = 0
    deleted: bool = False
    stopped: bool = False
    output_deleted: bool = False
    rules: list[Fault] = []
    uris: list[str] = []
    user_metadata: dict[str, object] = {}
    origin: str = "create"
    output_size: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether it still pends or runs."""
        return self.state in ACTIVE_STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a create asks for, checked and counted."""

    project: str
    kind: str
    model: str
    count: int
    tokens: int
    row_errors: int
    fate: Fate
    rules: list[Fault]
    display_name: str | None = None
    priority: int = 0
    input_file: str | None = None
    uris: tuple[str, ...] = ()
    user_metadata: dict[str, object] | None = None
    origin: str = "create"
