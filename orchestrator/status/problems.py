"""Every error on the socket as problem details (RFC 9457), with the next step in it."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web
from pydantic import ValidationError

from orchestrator.status.views import View

PROBLEM_JSON = "application/problem+json"


class Problem(View):
    """An error after RFC 9457. `remedy` is the next step for whoever reads it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    remedy: str


class Declined(Exception):
    """A request that is answered with a problem."""

    def __init__(self, status: int, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.remedy = remedy


REMEDIES = {
    404: "GET /openapi.json lists the routes",
    405: "use a method that the Allow header names",
    413: "send less: requests to this socket are small",
    431: "send shorter headers",
    500: "see the daemon's log for the reason; this is a bug",
    503: "try again in a moment",
}


def problem(
    status: int, detail: str, remedy: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return the response that tells a problem."""
    title = HTTPStatus(status).phrase
    next_step = remedy or REMEDIES.get(status, "see docs/status-api.md")
    body = Problem(title=title, status=status, detail=detail, remedy=next_step)
    return web.Response(
        status=status,
        body=body.model_dump_json().encode(),
        headers={
            "Content-Type": PROBLEM_JSON,
            "Cache-Control": "no-store",
            "Server": "orchestrator",
            **(headers or {}),
        },
    )


def from_http(error: web.HTTPException, request: web.BaseRequest) -> web.Response:
    """Return the problem for an error of the HTTP library's own."""
    detail = error.text or error.reason
    if error.status == HTTPStatus.NOT_FOUND:
        detail = f"there is no route {request.method} {request.path!a}"
    elif error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.path!a} does not answer to {request.method}"
    elif error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = "the request's body is too large"
    allow = error.headers.get("Allow")
    return problem(error.status, detail, headers={"Allow": allow} if allow else None)


def first_mistake(error: ValidationError) -> str:
    """Say in one line what is wrong with the first bad parameter, without repeating its value."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(step) for step in first["loc"]) or "the body"
    words = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if first["type"] == "extra_forbidden":
        words = "there is no such parameter"
    return f"{where}: {words}"
