"""What the service's JSON means: parsed leniently, never believed blindly.

Trouble: nothing here stops us. What cannot be read is None, and the caller decides what that
means for its call: doubt for a create, an incomplete scan for a list.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec

from orchestrator.domain.batches import Kind
from orchestrator.domain.ids import FileName, JobName
from orchestrator.domain.jobs import JobError, JobSnapshot, JobState, Unrecognised, parse_state
from orchestrator.ports import ModelInfo, StoredFile

Fields: TypeAlias = Mapping[str, Any]

JOB_NAME = re.compile(r"batches/[a-z0-9_-]{1,100}")
# An output file is "files/batch-" and the job's own id, so it may be as long and as odd as that.
FILE_NAME = re.compile(r"files/[a-z0-9_-]{1,110}")
MODEL_NAME = re.compile(r"(?:models|tunedModels)/[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
DURATION = re.compile(r"(\d{1,9})(?:\.\d{1,9})?s")
SHOWN_CHARACTERS_MAX = 500
COUNT_DIGITS_MAX = 18
TOKEN = "nextPageToken"  # noqa: S105 - the name of a field


@dataclass(frozen=True, slots=True)
class RpcError:
    """A google.rpc.Status as the API answers it; `code` is the HTTP status it names."""

    code: int
    status: str
    message: str
    reasons: frozenset[str]
    retry_delay: timedelta | None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the job list. `flaw` says what was not well-formed, "" if all was.

    `stateless` tells that a job came without its state, as when a field mask cut it out.
    """

    jobs: tuple[JobSnapshot, ...]
    next_token: str
    flaw: str
    stateless: bool


def clean(text: object) -> str:
    """Make the service's words safe to show: one line, printable, at most 500 characters."""
    words = " ".join(str(text)[: 4 * SHOWN_CHARACTERS_MAX].split())
    shown = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words
    )
    return shown[:SHOWN_CHARACTERS_MAX]


def decode(body: bytes) -> Any:
    """Read JSON; None if it is none (nor can be told from null, which no answer is)."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None


def is_job_name(text: object) -> bool:
    """Tell whether this may be a job's name and stand in a path."""
    return isinstance(text, str) and JOB_NAME.fullmatch(text) is not None


def is_file_name(text: object) -> bool:
    """Tell whether this may be a file's name and stand in a path."""
    return isinstance(text, str) and FILE_NAME.fullmatch(text) is not None


def model_path(name: str) -> str | None:
    """Return "models/NAME", or "tunedModels/NAME" as given; None if it cannot be a model."""
    path = name if "/" in name else f"models/{name}"
    return path if MODEL_NAME.fullmatch(path) else None


def rpc_error(body: bytes) -> RpcError | None:
    """Find the google.rpc error in an answer, also wrapped in a one-element list."""
    whole = decode(body)
    if isinstance(whole, list) and len(whole) == 1:
        whole = whole[0]
    error = _fields(_fields(whole).get("error"))
    code = _count(error.get("code"))
    if code is None:
        return None
    details = [_fields(detail) for detail in _items(error.get("details"))]
    reasons = (detail.get("reason") for detail in details)
    delays = (_duration(detail.get("retryDelay")) for detail in details)
    return RpcError(
        code,
        clean(_text(error.get("status"))),
        clean(_text(error.get("message"))),
        frozenset(reason for reason in reasons if isinstance(reason, str)),
        next((delay for delay in delays if delay is not None), None),
    )


def job(whole: object) -> JobSnapshot | None:
    """Read an Operation of the Batch API; None if it does not name a job that could be one.

    Google's own shape has the batch in `metadata`; a bare batch is read as well. The result
    file may stand in `response` or in `metadata.output`.
    """
    operation = _fields(whole)
    metadata = _fields(operation.get("metadata")) or operation
    name = operation.get("name", metadata.get("name"))
    if not isinstance(name, str) or not is_job_name(name):
        return None
    stats = _fields(metadata.get("batchStats"))
    return JobSnapshot(
        name=JobName(name),
        state=_state(operation, metadata),
        display_name=_text(metadata.get("displayName")),
        model=_text(metadata.get("model")).removeprefix("models/"),
        created_at=_time(metadata.get("createTime")),
        ended_at=_time(metadata.get("endTime")),
        input_file=_file_name(_fields(metadata.get("inputConfig")).get("fileName")),
        output=_file_name(_fields(operation.get("response")).get("responsesFile"))
        or _file_name(_fields(metadata.get("output")).get("responsesFile")),
        requests=_count(stats.get("requestCount")),
        succeeded=_count(stats.get("successfulRequestCount")),
        failed=_count(stats.get("failedRequestCount")),
        error=_error(operation.get("error")),
    )


def says_state(whole: object) -> bool:
    """Tell whether an operation's answer names its state at all."""
    operation = _fields(whole)
    return isinstance(_fields(operation.get("metadata")).get("state"), str) or "state" in operation


def page(body: bytes) -> Page | None:
    """Read one page of the job list; None if it is no such page."""
    whole = decode(body)
    # An empty page is `{}`; anything else without `operations` is not a list at all.
    if not isinstance(whole, dict) or not ("operations" in whole or set(whole) <= {TOKEN}):
        return None
    entries, token = whole.get("operations", []), whole.get(TOKEN, "")
    if not isinstance(entries, list) or not isinstance(token, str):
        return None
    jobs = [job(entry) for entry in entries]
    flaw = "an entry without a proper name" if None in jobs else ""
    flaw = "parts of the list are out of reach" if whole.get("unreachable") else flaw
    named = tuple(found for found in jobs if found is not None)
    return Page(named, token, flaw, not all(says_state(entry) for entry in entries))


def stored_file(whole: object) -> StoredFile | None:
    """Read a File, bare or wrapped in `file`; None if it has no proper name."""
    file = _fields(_fields(whole).get("file")) or _fields(whole)
    name = _file_name(file.get("name"))
    if name is None:
        return None
    return StoredFile(
        name=name,
        size=_count(file.get("sizeBytes")) or 0,
        sha256=digest(file.get("sha256Hash")),
        state=clean(_text(file.get("state")).lower()) or "unspecified",
        expires=_time(file.get("expirationTime")),
    )


def file_page(whole: object) -> tuple[list[StoredFile], str] | None:
    """Read a page of input files and the token of the next; None if it is no such page."""
    if not isinstance(whole, dict) or not ("files" in whole or set(whole) <= {TOKEN}):
        return None
    read = (stored_file(item) for item in _items(whole.get("files")))
    return [one for one in read if one is not None], _text(whole.get(TOKEN))


def digest(text: object) -> str | None:
    """Read `sha256Hash`: base64 of the hex digits, as recorded; of the 32 bytes; or the hex."""
    if not isinstance(text, str):
        return None
    if HEX_DIGEST.fullmatch(text):
        return text.lower()
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) == 32:
        return raw.hex()
    spelt = raw.decode("ascii", "replace")
    return spelt.lower() if HEX_DIGEST.fullmatch(spelt) else None


def counting(path: str, kind: Kind, request: bytes) -> bytes:
    """Write a CountTokensRequest about one request (its JSON)."""
    fields = msgspec.json.decode(request)
    if kind == "embed":
        return msgspec.json.encode({"contents": [fields.get("content")]})
    return msgspec.json.encode({"generateContentRequest": fields | {"model": path}})


def total_tokens(whole: object) -> int | None:
    """Read a CountTokensResponse; None if it is none."""
    total = _fields(whole).get("totalTokens")
    return total if isinstance(total, int) and total > 0 else None


def model(whole: object) -> ModelInfo | None:
    """Read a Model; None if it has no name of one."""
    fields = _fields(whole)
    name = _text(fields.get("name")).removeprefix("models/")
    methods = _items(fields.get("supportedGenerationMethods"))
    if not name or name.startswith(("batches/", "files/")):
        return None
    return ModelInfo(clean(name), frozenset(item for item in methods if isinstance(item, str)))


def model_page(whole: object) -> tuple[list[ModelInfo], str] | None:
    """Read a page of models and the token of the next; None if it is no such page."""
    if not isinstance(whole, dict):
        return None
    described = (model(item) for item in _items(whole.get("models")))
    return [one for one in described if one is not None], _text(whole.get("nextPageToken"))


def _state(operation: Fields, metadata: Fields) -> JobState | Unrecognised:
    state = parse_state(clean(_text(metadata.get("state"))))
    if state not in {Unrecognised(""), JobState.UNSPECIFIED}:
        return state
    if operation.get("done") is not True:  # absent until it is true
        return JobState.UNSPECIFIED
    return JobState.FAILED if operation.get("error") else JobState.SUCCEEDED


def _error(value: object) -> JobError | None:
    if not isinstance(value, dict):
        return None
    return JobError(_count(value.get("code")) or 2, clean(_text(value.get("message"))))


def _fields(value: object) -> Fields:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _file_name(value: object) -> FileName | None:
    return FileName(value) if isinstance(value, str) and is_file_name(value) else None


def _count(value: object) -> int | None:
    """Read an integer that may be a string; None for anything else, negative or absurd."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not text.isascii() or not text.isdecimal() or len(text) > COUNT_DIGITS_MAX:
        return None
    return int(text)


def _time(value: object) -> datetime | None:
    try:
        time = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _duration(value: object) -> timedelta | None:
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    return timedelta(seconds=int(found[1])) if found else None
