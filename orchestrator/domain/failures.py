"""Errors of single requests: google.rpc numbers and names, and the JSON that is delivered.

`{"code": 13, "status": "INTERNAL", "message": "…"}`, with `details` as the service gave them and
a `history` of the earlier tries if there were any.
"""

from typing import Any

import msgspec

RPC_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
UNKNOWN = 2
INVALID_ARGUMENT = 3
INTERNAL = 13
DATA_LOSS = 15

_OF_HTTP = {
    400: 3,
    401: 16,
    403: 7,
    404: 5,
    409: 10,
    429: 8,
    499: 1,
    500: 13,
    501: 12,
    503: 14,
    504: 4,
}
_encoder = msgspec.json.Encoder()


class Failure(msgspec.Struct, omit_defaults=True):
    """A google.rpc.Status as it is delivered; what the service did not say is filled in."""

    code: int
    status: str
    message: str
    details: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    history: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


def rpc_code(code: object) -> int:
    """Return the google.rpc number of a code, which may be an HTTP status; UNKNOWN if neither."""
    if not isinstance(code, int) or isinstance(code, bool):
        return UNKNOWN
    if 0 < code < len(RPC_NAMES):
        return code
    return _OF_HTTP.get(code, UNKNOWN)


def rpc_name(code: int) -> str:
    """Return the name of a google.rpc number or an HTTP status."""
    return RPC_NAMES[rpc_code(code)]


def failure(code: int, message: str, details: bytes | None = None) -> bytes:
    """Return the JSON of an error of our own making."""
    return failure_named(code, rpc_name(code), message, details)


def failure_named(code: int, status: str, message: str, details: bytes | None = None) -> bytes:
    """Return the JSON of an error of our own making under a name of its own."""
    raw = msgspec.Raw(details) if details is not None else msgspec.UNSET
    return _encoder.encode(Failure(code, status, message, raw))


def normalised(raw: bytes) -> bytes:
    """Return an error of the service, or one that was normalised already, as it is delivered.

    What is not an object with a code is an UNKNOWN error whose `details` hold it.
    """
    return _encoder.encode(_read(raw))


def with_history(latest: bytes, earlier: bytes) -> bytes:
    """Return the latest error of a request with all earlier ones in its history, oldest first."""
    newest, before = _read(latest), _read(earlier)
    history = list(before.history) if before.history is not msgspec.UNSET else []
    before.history = msgspec.UNSET
    newest.history = [*history, msgspec.Raw(_encoder.encode(before))]
    return _encoder.encode(newest)


def given_up(latest: bytes, tries: int) -> bytes:
    """Return an error that would be worth another try, saying that no other will come."""
    last = _read(latest)
    last.message = f"{last.message} (given up after {_times(tries)})".lstrip()
    return _encoder.encode(last)


def _times(tries: int) -> str:
    return "1 try" if tries == 1 else f"{tries} tries"


def code_of(raw: bytes) -> int:
    """Return the google.rpc number of an error as JSON."""
    return rpc_code(_read(raw).code)


def _read(raw: bytes) -> Failure:
    try:
        members = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        members = {}
    if "code" not in members:
        shown = raw if _is_text(raw) else msgspec.json.encode(raw.decode("utf-8", "replace"))
        message = _value(members.get("message"), str) or "an error without a code"
        return Failure(UNKNOWN, rpc_name(UNKNOWN), message, msgspec.Raw(b"[%b]" % shown))
    code = _value(members["code"], int) or UNKNOWN
    status = _value(members.get("status"), str) or rpc_name(code)
    message = _value(members.get("message"), str) or ""
    history = _value(members.get("history"), list[msgspec.Raw])
    return Failure(
        code,
        status,
        message,
        members.get("details", msgspec.UNSET),
        msgspec.UNSET if history is None else [msgspec.Raw(bytes(entry)) for entry in history],
    )


def _value(raw: msgspec.Raw | None, wanted: Any) -> Any:
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=wanted)
    except (msgspec.DecodeError, RecursionError):
        return None


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
        msgspec.json.decode(raw)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False
    return True


def malformed(line: bytes, why: str, shown_max: int = 1 << 16) -> bytes:
    """Return the error for a request whose answer cannot be read, with the answer as text."""
    text = line[:shown_max].decode("utf-8", "backslashreplace")
    details = msgspec.json.encode([{"answer": text}])
    return failure(INTERNAL, f"the service's answer cannot be used: {why}", details)
