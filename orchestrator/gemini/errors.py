"""From (phase, status, the service's words) to what the caller may do next.

The certain cases are listed; everything else about a create is doubt. What is said never holds
a key, an upload URL or a request: only the phase, the status, errno and the service's own words.

Trouble: none of its own; this module makes the troubles of `ports`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from orchestrator.gemini.wire import RpcError, rpc_error
from orchestrator.ports import Blocked, InDoubt, Refused, Trouble, Unavailable

RETRY_AFTER_MAX = timedelta(days=1)
NAMED_LINE = re.compile(r"\bError on line (\d{1,12})\b", re.IGNORECASE)
ABOUT_A_FILE = re.compile(r"\bfiles?\b", re.IGNORECASE)
ABOUT_A_MODEL = re.compile(r"\bmodels?\b", re.IGNORECASE)
ABOUT_THE_KEY = re.compile(
    r"api[ _]key|unregistered callers|has not been used in project|is disabled|suspended|billing",
    re.IGNORECASE,
)
NOT_HERE = re.compile(r"location|country|free tier|billing", re.IGNORECASE)
KEY_REASONS = frozenset(
    {
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "SERVICE_DISABLED",
        "BILLING_DISABLED",
        "CONSUMER_SUSPENDED",
        "CONSUMER_INVALID",
        "USER_PROJECT_DENIED",
    }
)

NEW_KEY = "set a working API key and reload"
ALLOW_KEY = "allow the Gemini API for this key and its project, or set another key and reload"
ADD_CREDIT = "add credit to the billing account of this key"
MOVE_PROJECT = "use a project that may use the Gemini API from here"


class Phase(StrEnum):
    """How far a call came that got no whole answer."""

    CONNECT = "connecting"  # certainly not one byte of the request left
    ANSWER = "waiting for the answer"
    BODY = "reading the answer"


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without a whole answer. `words` are ours, never the foreign error's."""

    phase: Phase
    words: str

    def __str__(self) -> str:
        return f"{self.words} while {self.phase}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: its status, its headers by lower-case name, and its body if kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Tell whether the service says that it did what was asked."""
        return 200 <= self.status < 300


def create_trouble(outcome: Answer | Failure) -> Trouble:
    """Judge a create that did not bring a job. In doubt unless the certain no is on record."""
    if isinstance(outcome, Failure):
        if outcome.phase is Phase.CONNECT:
            return Unavailable(f"create: {outcome}")
        return InDoubt(f"create: {outcome}")
    error = _matching_error(outcome)
    if error is None:
        return InDoubt(f"create: HTTP {outcome.status} without a proper answer")
    if blocked := _blocked(outcome.status, error, names_file=bool(_about_a_file(error))):
        return blocked
    match outcome.status:
        case 400 if error.status == "FAILED_PRECONDITION" and _about_a_file(error):
            return Unavailable(_words("create", outcome, error), retry_after(outcome, error))
        case 400 | 403 | 404 | 413:
            code, line = outcome.status, _line(error.message)
            no_file = _says_no_input(code, error)
            return Refused(code, error.status, error.message, line, no_file=no_file)
        case 429:
            return _overloaded("create", outcome, error)
        case _:
            return InDoubt(_words("create", outcome, error))


def call_trouble(call: str, outcome: Answer | Failure, *, names_file: bool = False) -> Unavailable:
    """Judge any other call that failed: all of them may be repeated, now or once unblocked."""
    if isinstance(outcome, Failure):
        return Unavailable(f"{call}: {outcome}")
    error = _matching_error(outcome)
    if error and (blocked := _blocked(outcome.status, error, names_file=names_file)):
        return blocked
    if outcome.status == 429:
        return _overloaded(call, outcome, error)
    return Unavailable(_words(call, outcome, error), retry_after(outcome, error))


def refused(call: str, answer: Answer) -> Refused:
    """Pass on the service's no, in its own words if it has any."""
    error = rpc_error(answer.body)
    status = error.status if error else ""
    message = error.message if error else f"{call} was refused without a reason"
    return Refused(answer.status, status, message)


def is_blocked(answer: Answer) -> bool:
    """Tell whether the answer is about the key or the money, not about what was asked for."""
    error = _matching_error(answer)
    return error is not None and _blocked(answer.status, error, names_file=True) is not None


def says_gone(answer: Answer) -> bool:
    """Tell whether the API itself says that it does not know what was named."""
    return answer.status == 404 and _matching_error(answer) is not None


def says_no_file(answer: Answer) -> bool:
    """Tell whether the API says that a file is not there (403 as a rule), or can never be."""
    known = _matching_error(answer) is not None and not is_blocked(answer)
    return known and answer.status in {400, 403, 404}


def says_no_model(answer: Answer) -> bool:
    """Tell whether the API itself says that it does not know a model, or that it can be none."""
    known = _matching_error(answer) is not None and not is_blocked(answer)
    return known and answer.status in {400, 404}


def is_html(headers: Mapping[str, str]) -> bool:
    """Tell whether this is a page for people, as proxies and login portals send them."""
    return headers.get("content-type", "").lstrip().lower().startswith("text/html")


def retry_after(answer: Answer, error: RpcError | None) -> timedelta | None:
    """Return how long the service asks us to wait, at most a day; None if it does not say."""
    asked = _header_delay(answer.headers) or (error.retry_delay if error else None)
    return min(asked, RETRY_AFTER_MAX) if asked else None


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """Read the Date header."""
    return _http_time(headers.get("date", ""))


def _matching_error(answer: Answer) -> RpcError | None:
    error = rpc_error(answer.body)
    return error if error and error.code == answer.status else None


def _blocked(status: int, error: RpcError, *, names_file: bool) -> Blocked | None:
    """Find what stops the whole project. A 403 about a file only says that the file is gone."""
    about_key = bool(error.reasons & KEY_REASONS or ABOUT_THE_KEY.search(error.message))
    match status:
        case 400 if error.reasons & KEY_REASONS or error.message.startswith("API key "):
            return _refused_key(error)
        case 400 if error.status == "FAILED_PRECONDITION" and NOT_HERE.search(error.message):
            return Blocked(_said("the service is not offered here", error), MOVE_PROJECT)
        case 401:
            return _refused_key(error)
        case 402:
            return Blocked(_said("the prepaid credit is used up", error), ADD_CREDIT)
        case 403 if about_key or not names_file:
            return Blocked(_said("the API key may not do this", error), ALLOW_KEY)
        case _:
            return None


def _refused_key(error: RpcError) -> Blocked:
    return Blocked(_said("the API key is refused", error), NEW_KEY, about_key=True)


def _about_a_file(error: RpcError) -> bool:
    return ABOUT_A_FILE.search(error.message) is not None


def _says_no_input(status: int, error: RpcError) -> bool:
    """A 403 that is not about the key is about the file; a 404 is about the model as a rule."""
    if status == 404 and _about_a_file(error):
        return not (ABOUT_A_MODEL.search(error.message) or NAMED_LINE.search(error.message))
    return status == 403


def _overloaded(call: str, answer: Answer, error: RpcError | None) -> Unavailable:
    return Unavailable(_words(call, answer, error), retry_after(answer, error), overloaded=True)


def _words(call: str, answer: Answer, error: RpcError | None) -> str:
    unsaid = ", an answer that makes no sense" if answer.ok else ", no reason given"
    said = f" {error.status}: {error.message}" if error else unsaid
    return f"{call}: HTTP {answer.status}{said}"


def _said(what: str, error: RpcError) -> str:
    return f"{what} ({error.code} {error.status}: {error.message})"


def _line(message: str) -> int | None:
    found = NAMED_LINE.search(message)
    return int(found[1]) if found else None


def _header_delay(headers: Mapping[str, str]) -> timedelta | None:
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return timedelta(seconds=int(text[:9]))
    until, now = _http_time(text), server_time(headers)
    return max(until - now, timedelta(0)) if until and now else None


def _http_time(text: str) -> datetime | None:
    try:
        time = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
