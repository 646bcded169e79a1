"""The service's refusals: an HTTP status, a google.rpc name, a text and details, in its
envelope.
"""

from collections.abc import Sequence
from typing import Any

QUOTA_TEXT = (
    "You exceeded your current quota, please check your plan and billing details. "
    "For more information on this error, head to: "
    "https://ai.google.dev/gemini-api/docs/rate-limits. "
    "To monitor your current usage, head to: https://ai.dev/rate-limit. "
)
CREDIT_TEXT = "Your prepayment credits are depleted. Add credits to go on using the API."
INVALID_KEY_TEXT = "API key not valid. Please pass a valid API key."
NO_KEY_TEXT = (
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API."
)

RPC_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "RESOURCE_EXHAUSTED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    410: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
RPC_CODES = {
    "CANCELLED": 1,
    "UNKNOWN": 2,
    "INVALID_ARGUMENT": 3,
    "DEADLINE_EXCEEDED": 4,
    "NOT_FOUND": 5,
    "ALREADY_EXISTS": 6,
    "PERMISSION_DENIED": 7,
    "RESOURCE_EXHAUSTED": 8,
    "FAILED_PRECONDITION": 9,
    "ABORTED": 10,
    "UNIMPLEMENTED": 12,
    "INTERNAL": 13,
    "UNAVAILABLE": 14,
    "UNAUTHENTICATED": 16,
}


class Refusal(Exception):
    """The service says no: `code` is the HTTP status, `status` the google.rpc name."""

    def __init__(
        self,
        code: int,
        message: str,
        status: str | None = None,
        details: Sequence[dict[str, Any]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or RPC_NAMES.get(code, "UNKNOWN")
        self.details = list(details)

    def body(self) -> dict[str, Any]:
        """Write the error envelope; `details` are left out when there are none."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
        }
        if self.details:
            error["details"] = self.details
        return {"error": error}


def invalid(message: str, violations: Sequence[tuple[str, str]] = ()) -> Refusal:
    """Refuse a body: 400 INVALID_ARGUMENT, with the violated fields when they are known."""
    if not violations:
        return Refusal(400, message)
    listed = [
        {"field": field, "description": text} if field else {"description": text}
        for field, text in violations
    ]
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": listed}
    return Refusal(400, message, details=[detail])


def bad_key(code: int = 400) -> Refusal:
    """Refuse a key that the service does not know: 400, not 401."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    text = {
        "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
        "locale": "en-US",
        "message": INVALID_KEY_TEXT,
    }
    return Refusal(code, INVALID_KEY_TEXT, details=[info, text])


def no_key(code: int = 403) -> Refusal:
    """Refuse a call without any key."""
    return Refusal(code, NO_KEY_TEXT)


def over_quota(*, retry_seconds: float | None = None) -> Refusal:
    """Refuse for a quota: 429 with a Help detail and nothing that says when to come again."""
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [
                {
                    "description": "Learn more about Gemini API quotas",
                    "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
                }
            ],
        }
    ]
    if retry_seconds is not None:
        delay = f"{retry_seconds:.9f}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return Refusal(429, QUOTA_TEXT, details=details)


def forbidden_file(id_: str) -> Refusal:
    """Refuse a file that is gone, foreign or never was: 403, never 404."""
    return Refusal(
        403,
        f"You do not have permission to access the File {id_} or it may not exist.",
    )


def entity_not_found() -> Refusal:
    """Refuse a batch that is not there."""
    return Refusal(404, "Requested entity was not found.")


def model_not_found(model: str, version: str, method: str) -> Refusal:
    """Refuse a model that is unknown or cannot do what was asked."""
    return Refusal(
        404,
        f"models/{model} is not found for API version {version}, or is not supported for "
        f"{method}. Call ListModels to see the list of available models and their supported "
        "methods.",
    )
