"""Everything that can be chosen about the emulated service: how fast, how strict, and how it
answers what nobody has seen.

A duration is a number of seconds, or a pair (least, most) from which each job draws its own with
the seed. Trouble: an impossible value raises ValueError when the settings are made.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Seconds = float | tuple[float, float]

HOUR = 3600.0
MIB = 1024 * 1024
GIB = 1024 * MIB

GENERATE = "batchGenerateContent"
EMBED = "asyncBatchEmbedContent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that the service knows: its id without `models/`, and the batch methods it
    supports.
    """

    id: str
    methods: tuple[str, ...] = (
        "generateContent",
        "countTokens",
        "createCachedContent",
        GENERATE,
    )
    display_name: str = ""
    input_token_limit: int = 1_048_576
    output_token_limit: int = 65_536
    dimensions: int = 0
    enqueued_tokens: tuple[int, int, int] = (0, 0, 0)


def _generate(id_: str, name: str, *tiers: int) -> Model:
    first, second, third = (tier * 1_000_000 for tier in tiers)
    return Model(id=id_, display_name=name, enqueued_tokens=(first, second, third))


def _embed(id_: str, name: str, limit: int) -> Model:
    methods = ("embedContent", "countTextTokens", "countTokens", EMBED)
    return Model(
        id=id_,
        display_name=name,
        methods=methods,
        input_token_limit=limit,
        output_token_limit=1,
        dimensions=3072,
        enqueued_tokens=(2_000_000, 15_000_000, 100_000_000),
    )


MODELS: tuple[Model, ...] = (
    _generate("gemini-3-pro-preview", "Gemini 3 Pro Preview", 50, 500, 1000),
    _generate("gemini-3-flash-preview", "Gemini 3 Flash Preview", 3, 400, 500),
    _generate("gemini-2.5-pro", "Gemini 2.5 Pro", 5, 500, 1000),
    _generate("gemini-2.5-flash", "Gemini 2.5 Flash", 3, 400, 1000),
    _generate("gemini-2.5-flash-lite", "Gemini 2.5 Flash-Lite", 10, 500, 1000),
    _generate("gemini-2.0-flash", "Gemini 2.0 Flash", 10, 1000, 5000),
    _generate("gemini-2.0-flash-lite", "Gemini 2.0 Flash-Lite", 10, 1000, 5000),
    _generate("gemini-3-pro-image-preview", "Gemini 3 Pro Image Preview", 2, 270, 1000),
    _generate("gemini-2.5-flash-image", "Gemini 2.5 Flash Image", 2, 270, 1000),
    _embed("gemini-embedding-001", "Gemini Embedding 001", 2048),
    _embed("gemini-embedding-2", "Gemini Embedding 2", 8192),
    Model(id="imagen-4.0-generate-001", display_name="Imagen 4", methods=("predict",)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The walls of one project. 0 means that there is no such wall."""

    tier: Literal[1, 2, 3] = 1
    active_jobs: int = 100
    enqueued_tokens: Mapping[str, int] = field(default_factory=dict)
    storage_bytes: int = 20 * GIB
    requests_per_minute: int = 0
    creates_per_minute: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknowns:
    """What nobody has recorded yet: each answer can be chosen, so that a client is tested under all
    of them.

    The defaults are the likeliest answers. `docs/emulator.md` lists them
    with the question that each answers.
    """

    ended_badly_done: bool = True
    expired_error: bool = False
    failed_has_output: bool = False
    error_field: Literal["error", "status"] = "error"
    error_details: bool = False
    echo_unknown_line_fields: bool = False
    input_needed_at_run: bool = False
    download_range: bool = True
    download_length: bool = False
    download_redirect: bool = False
    final_query_body: bool = True
    upload_session_seconds: float = 7 * 24 * HOUR
    unaligned_chunk_status: int = 400
    requests_per_batch: int = 0
    line_bytes: int = 0
    batch_display_name_chars: int = 0
    batches_page_default: int = 50
    batches_page_max: int = 1000
    batches_order: Literal["newest", "oldest", "shuffled"] = "newest"
    list_filter: Literal["ignored", "refused"] = "ignored"
    cancel_finished: Literal["refused", "ignored"] = "refused"
    cancel_running: Literal["cancelled", "partial"] = "cancelled"
    cancelled_has_output: bool = False
    delete_running: Literal["stops", "runs on"] = "runs on"
    cancel_frees_quota: bool = True
    patch: bool = True
    webhook_on_embed: bool = True
    v1_serves_files: bool = True
    taken_name_status: int = 409
    reuse_deleted_name: bool = False
    retry_info: bool = False
    line_model: Literal["ignored", "honoured", "refused"] = "ignored"
    quota_checked: Literal["at create", "at run"] = "at create"
    fields_mask: Literal["works", "ignored", "refused"] = "works"
    unknown_query: Literal["refused", "ignored"] = "refused"
    get_lag_seconds: float = 0.0
    list_lag_seconds: float = 0.0
    output_bytes_stable: bool = True
    output_lag_seconds: float = 0.0
    registered_input: bool = True
    no_key_status: Literal[400, 401, 403] = 403
    revoked_key_status: Literal[400, 401, 403] = 400
    escape_line_separators: bool = False
    output_metadata_get: Literal["works", "forbidden"] = "works"
    update_time_at_end: bool = True
    embed_type_output: bool = True
    embed_usage: Literal["usageMetadata", "tokenCount", "absent"] = "usageMetadata"
    stale_list_stats: bool = True
    moving_stats: bool = False
    results_in_order: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EmulatorSettings:
    """The emulated service as a whole. `speed` divides how long jobs take; clocks and timestamps
    stay true.
    """

    seed: int = 0
    speed: float = 1.0
    create_seconds: Seconds = 0.0
    pending_seconds: Seconds = (2.0, 6.0)
    running_seconds: Seconds = (3.0, 12.0)
    cancel_seconds: Seconds = 1.0
    skip_running: float = 0.0
    job_expiry_seconds: float = 48 * HOUR
    file_expiry_seconds: float = 48 * HOUR
    result_expiry_seconds: float = 42 * 24 * HOUR
    models: tuple[Model, ...] = MODELS
    api_keys: Mapping[str, str] = field(default_factory=dict)
    quotas: Quotas = field(default_factory=Quotas)
    inline_bytes_max: int = 20 * 1000 * 1000
    file_bytes_max: int = 2 * GIB
    upload_granularity: int = 8 * MIB
    webhook_delivery: Literal["loopback", "anywhere", "nowhere"] = "loopback"
    hash_in_thread: bool = False
    unknowns: Unknowns = field(default_factory=Unknowns)

    def __post_init__(self) -> None:
        """Refuse what would make the clock stand still or the upload loop forever."""
        if self.speed <= 0:
            raise ValueError("speed must be above 0: it divides how long jobs take")
        if self.upload_granularity <= 0:
            raise ValueError("upload_granularity must be at least 1 byte")
        if not 0 <= self.skip_running <= 1:
            raise ValueError("skip_running is a probability from 0 to 1")
        for name in ("create", "pending", "running", "cancel"):
            low, high = span(getattr(self, f"{name}_seconds"))
            if not 0 <= low <= high:
                raise ValueError(f"{name}_seconds must be 0 or more, the least before the most")

    def model(self, id_: str) -> Model | None:
        """Find a model by its id, or say None."""
        return next((model for model in self.models if model.id == id_), None)


def span(seconds: Seconds) -> tuple[float, float]:
    """Read a duration as (least, most) seconds."""
    return seconds if isinstance(seconds, tuple) else (seconds, seconds)
