"""How an upload session stands, read from the server's answer to a chunk or a query.

An answer with `X-Goog-Upload-Status` speaks for the session; one without it may come from
anything on the way. These are the rules of Google's upload servers, as pure functions.

Trouble: an answer that says nothing about the session raises Unavailable; the session stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.gemini import wire
from orchestrator.gemini.errors import Answer, Failure, call_trouble, is_html
from orchestrator.gemini.service import GIBIBYTE
from orchestrator.ports import StoredFile, Unavailable

STATUS = "x-goog-upload-status"
RECEIVED = "x-goog-upload-size-received"
GRANULARITY = "x-goog-upload-chunk-granularity"
OUT_OF_STEP = frozenset({400, 409, 412, 416})
SESSION_LOST = frozenset({401, 403, 404, 410})
DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Active:
    """The server holds `received` bytes and waits for more, in multiples of `granularity`."""

    received: int
    granularity: int | None


@dataclass(frozen=True, slots=True)
class Finished:
    """The upload is finalized; the file is as the server described it, if it did."""

    file: StoredFile | None


@dataclass(frozen=True, slots=True)
class Over:
    """The session is over without a file that it tells of; `no` is the server's refusal."""

    no: Answer | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Only a query can tell how far it came."""

    trouble: Unavailable


Standing: TypeAlias = Active | Finished | Over | Unknown


def after_chunk(outcome: Answer | Failure, end: int, size: int) -> Standing:
    """Read the answer to a chunk that ended at `end` of `size`."""
    trouble = call_trouble("upload", outcome, names_file=True)
    if isinstance(outcome, Failure):
        return Unknown(trouble)
    known = _known(outcome)
    if known is not None:
        return known
    if _says(outcome) == "active" and outcome.ok and end < size:
        return Active(end, granularity(outcome.headers))
    if outcome.ok or outcome.status in OUT_OF_STEP:
        return Unknown(trouble)
    raise trouble


def after_query(outcome: Answer | Failure, size: int) -> Active | Finished | Over:
    """Read the answer to a query."""
    if isinstance(outcome, Failure):
        raise call_trouble("upload", outcome)
    known = _known(outcome)
    if known is not None:
        return known
    if not outcome.ok and outcome.status not in OUT_OF_STEP:
        raise call_trouble("upload", outcome, names_file=True)
    received = _number(outcome.headers.get(RECEIVED))
    if _says(outcome) == "active" and outcome.ok and received is not None and received <= size:
        return Active(received, granularity(outcome.headers))
    return Over(None)


def granularity(headers: Mapping[str, str]) -> int | None:
    """Read of what all chunks but the last must be multiples; None if it cannot be used."""
    step = _number(headers.get(GRANULARITY))
    return step if step and step <= GIBIBYTE else None


def _known(answer: Answer) -> Finished | Over | None:
    match _says(answer):
        case "final" if answer.ok:
            return Finished(wire.stored_file(wire.decode(answer.body)))
        case "final":
            return Over(answer)
        case "cancelled":
            return Over(None)
        case "" if is_html(answer.headers):
            raise call_trouble("upload", answer, names_file=True)
        case "" if answer.status in SESSION_LOST:
            return Over(None)
        case _:
            return None


def _says(answer: Answer) -> str:
    return answer.headers.get(STATUS, "").strip().lower()


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > DIGITS_MAX:
        return None
    return int(text)
