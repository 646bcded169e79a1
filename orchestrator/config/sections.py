"""The tables of config.toml. Names carry their unit; sizes are bytes, money is US dollars."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from orchestrator.domain.batches import Kind
from orchestrator.domain.layout import GENERATION_MAX
from orchestrator.domain.policy import RETRYABLE_CODES

DAY = 24 * 3600
DEFAULTS_FIELDS_MAX = 13  # as many bits of an index line say which of them are filled in

Positive: TypeAlias = Annotated[int, Field(gt=0)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=30 * DAY, allow_inf_nan=False)]
Days: TypeAlias = Annotated[float, Field(ge=0, le=3650, allow_inf_nan=False)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Money: TypeAlias = Annotated[Decimal, Field(gt=0, max_digits=12, allow_inf_nan=False)]
Price: TypeAlias = Annotated[Decimal, Field(ge=0, max_digits=12, allow_inf_nan=False)]
Compress: TypeAlias = Literal["none", "gz", "zst"]
Compact: TypeAlias = Literal["none", "base64", "npy"]
DuplicateKeys: TypeAlias = Literal["reject", "allow"]
Shape: TypeAlias = Literal["off", "warn", "flaw"]
DuplicateSet: TypeAlias = Literal["reuse", "run"]


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _model_name(name: str) -> str:
    """Take a model by its id; it becomes part of an address, so nothing else may be in it."""
    bare = name.removeprefix("models/")
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"
    if not 0 < len(bare) <= 100 or bare.strip(allowed) or bare.startswith("."):
        raise ValueError("must be the id of a model, as in 'gemini-2.5-flash'")
    return bare


Place: TypeAlias = Annotated[Path, AfterValidator(_absolute)]
ModelName: TypeAlias = Annotated[str, AfterValidator(_model_name)]


class Section(BaseModel):
    """A table: unknown keys are errors, values never change, bad values are never shown."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Service(Section):
    """`[service]`: folders, ledger, socket and log."""

    state_dir: Place | None = None
    inbox: Place | None = None
    outbox: Place | None = None
    rejected: Place | None = None
    work: Place | None = None
    database: SecretStr | None = None
    socket: Place | None = None
    socket_group: Annotated[str, Field(min_length=1)] | None = None
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    min_free_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024


class Gemini(Section):
    """`[gemini]`: the service and the key."""

    base_url: str = "https://generativelanguage.googleapis.com"
    api_version: Annotated[str, Field(pattern="^v[0-9a-z]{1,20}$")] = "v1beta"
    api_key: SecretStr | None = None
    api_key_file: Place | None = None
    connect_timeout_seconds: Seconds = 10.0
    call_timeout_seconds: Seconds = 60.0
    transfer_idle_timeout_seconds: Seconds = 120.0

    @field_validator("base_url")
    @classmethod
    def _check_address(cls, url: str) -> str:
        scheme, mark, rest = url.partition("://")
        host = rest.partition("/")[0]
        local = host.rpartition("@")[2].partition(":")[0] in {"127.0.0.1", "localhost"}
        if not mark or not host or "@" in host or scheme not in {"https", "http"}:
            raise ValueError("must look like https://HOST[:PORT]")
        if scheme == "http" and not local:
            raise ValueError("must be https:// (http:// only to this machine)")
        return url

    @model_validator(mode="after")
    def _check(self) -> "Gemini":
        if self.api_key and self.api_key_file:
            raise ValueError("has both api_key and api_key_file; keep one of them")
        return self


class Limits(Section):
    """`[limits]`: what the service allows the account, and how big a batch may be."""

    tier: Annotated[int, Field(ge=1, le=3)] = 1
    inline_max_bytes: Annotated[int, Field(gt=0, lt=20_000_000)] = 19_000_000
    file_max_bytes: Annotated[int, Field(gt=0, le=2_147_483_648)] = 2_000_000_000
    min_batch_bytes: Positive = 1024 * 1024
    max_requests_per_batch: Positive = 1_000_000
    max_active_jobs: Positive = 100
    storage_max_bytes: Positive = 20_000_000_000
    requests_per_minute: Positive = 60
    count_tokens: bool = False
    enqueued_tokens: dict[ModelName, Positive] = Field(default_factory=dict)


class Intake(Section):
    """`[intake]`: when a drop is taken, and what is wrong enough to refuse it."""

    settle_seconds: Annotated[float, Field(ge=0, le=DAY, allow_inf_nan=False)] = 2.0
    flaws_max_fraction: Fraction = 0.01
    flaws_kept_max: Positive = 10_000
    line_bytes_max: Annotated[int, Field(gt=0, le=64 * 1024 * 1024)] = 20_000_000
    duplicate_keys: DuplicateKeys = "reject"
    duplicate_set: DuplicateSet = "reuse"
    shape: Shape = "warn"
    workers: Annotated[int, Field(gt=0, le=1024)] | None = None


class Submission(Section):
    """`[submission]`: how a paid create is sent, and what is done when its answer is lost."""

    create_timeout_seconds: Seconds = 120.0
    late_create_seconds: Seconds = 900.0
    list_lag_seconds: Seconds = 1800.0
    in_doubt: Literal["auto", "hold"] = "auto"
    tell_priority: bool = False


class Polling(Section):
    """`[polling]`: how often the job list is read, and when a job counts as stuck."""

    interval_min_seconds: Seconds = 30.0
    interval_max_seconds: Seconds = 300.0
    stuck_after_hours: Annotated[float, Field(gt=0, le=2400, allow_inf_nan=False)] = 50.0
    stuck: Literal["report", "resubmit"] = "report"

    @model_validator(mode="after")
    def _check(self) -> "Polling":
        if self.interval_min_seconds > self.interval_max_seconds:
            raise ValueError("interval_min_seconds must not exceed interval_max_seconds")
        return self


class Retry(Section):
    """`[retry]`: how often and how soon; `retryable` are google.rpc codes of single requests."""

    max_generations: Annotated[int, Field(gt=0, le=GENERATION_MAX)] = 5
    backoff_min_seconds: Seconds = 5.0
    backoff_max_seconds: Seconds = 900.0
    retryable: frozenset[Annotated[int, Field(ge=1, le=16)]] = RETRYABLE_CODES

    @model_validator(mode="after")
    def _check(self) -> "Retry":
        if self.backoff_min_seconds > self.backoff_max_seconds:
            raise ValueError("backoff_min_seconds must not exceed backoff_max_seconds")
        return self


class Outbox(Section):
    """`[outbox]`: how results are written, unless a set says otherwise."""

    parts: bool = False
    compress: Compress = "none"
    compact: Compact = "none"


class Retention(Section):
    """`[retention]`: how long what is no longer needed is kept. Undelivered work always stays."""

    work_days: Days = 7.0
    work_max_bytes: Positive | None = None
    rejected_days: Annotated[Days, Field(ge=1)] | None = None
    rejected_max_bytes: Positive | None = None
    remote_days: Days = 0.0
    events_days: Days = 90.0
    events_max_bytes: Positive = 1_000_000_000


class Caps(Section):
    """`[money]`: caps. A set that would go beyond one is held, not failed."""

    max_cost_per_set: Money | None = None
    max_cost_per_day: Money | None = None


class Pricing(Section):
    """`[pricing."MODEL"]`: US dollars per million tokens in batch mode, and when that was read."""

    input: Price
    output: Price = Decimal(0)
    cached: Price | None = None
    as_of: Annotated[str, Field(pattern=r"^\d{4}-\d{2}(-\d{2})?$")]


class Notify(Section):
    """`[notify]`: who is told when a set is delivered, held, blocked or failed."""

    command: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    command_timeout_seconds: Seconds = 30.0
    webhook_url: SecretStr | None = None
    webhook_secret: SecretStr | None = None

    @model_validator(mode="after")
    def _check(self) -> "Notify":
        url = self.webhook_url.get_secret_value() if self.webhook_url else "https://"
        if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("webhook_url must begin with https://")
        return self


class SetOptions(Section):
    """`NAME.toml`, `set.toml` and `[profiles.NAME]`: all optional, None where nothing is said."""

    model: ModelName | None = None
    kind: Kind | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    max_requests_per_batch: Positive | None = None
    max_batch_bytes: Positive | None = None
    max_generations: Annotated[int, Field(gt=0, le=GENERATION_MAX)] | None = None
    max_cost: Money | None = None
    parts: bool | None = None
    compress: Compress | None = None
    compact: Compact | None = None
    duplicate_keys: DuplicateKeys | None = None
    duplicate_set: DuplicateSet | None = None
    shape: Shape | None = None
    flaws_max_fraction: Fraction | None = None
    defaults: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _check(self) -> "SetOptions":
        if self.defaults and len(self.defaults) > DEFAULTS_FIELDS_MAX:
            raise ValueError(f"defaults may name at most {DEFAULTS_FIELDS_MAX} request fields")
        return self


class DropOptions(SetOptions):
    """What only a single drop can say: which profile it follows, and what it is the same as."""

    profile: str | None = None
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
