"""One HTTP call on its way through the server, and the answers it can get."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.masks import masked
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.refusals import Refusal, invalid

JSON_TYPE = "application/json; charset=UTF-8"
ALT_SVC = 'h3=":443"; ma=2592000,h3-29=":443"; ma=2592000'


@dataclass(slots=True)
class Context:
    """What a handler needs to know of a call."""

    emulator: Emulator
    request: web.Request
    endpoint: str
    names: dict[str, str]
    body: bytes = b""
    project: str = ""
    fired: list[Fault] = field(default_factory=list)
    took_ms: int = 0

    @property
    def version(self) -> str:
        """The API version of the path."""
        return self.names["version"]

    @property
    def base_url(self) -> str:
        """Scheme and host as the client spelt them."""
        return f"{self.request.scheme}://{self.request.host}"

    def query(self, name: str) -> str | None:
        """Read a query parameter in either spelling, with or without the dollar of system
        parameters.
        """
        query = self.request.query
        for spelling in (name, f"${name}"):
            if spelling in query:
                return query[spelling]
        return None

    def page(self, default: int, most: int) -> tuple[int, int]:
        """Read (page size, offset) from `pageSize` and `pageToken`."""
        asked = self.query("pageSize") or self.query("page_size") or "0"
        token = self.query("pageToken") or self.query("page_token") or ""
        try:
            size = int(asked)
        except ValueError:
            raise invalid(
                f"Invalid value at 'page_size' (TYPE_INT32), \"{asked}\"",
                [("page_size", f"Invalid value at 'page_size' (TYPE_INT32), \"{asked}\"")],
            ) from None
        if size < 0:
            raise invalid("* page_size: must be at least 0.\n")
        return min(size or default, most), _offset(token)

    def json(self, shown: dict[str, Any], headers: dict[str, str] | None = None) -> web.Response:
        """Answer 200 with JSON, indented unless the client asked otherwise."""
        return json_answer(self._masked(shown), 200, headers, pretty=self.pretty)

    @property
    def pretty(self) -> bool:
        """Whether answers are indented: they are, unless `prettyPrint=false`."""
        return (self.query("prettyPrint") or "true").lower() not in {"false", "0"}

    def _masked(self, shown: dict[str, Any]) -> dict[str, Any]:
        mask = self.query("fields")
        how = self.emulator.settings.unknowns.fields_mask
        if mask is None or how == "ignored":
            return shown
        if how == "refused":
            raise invalid("Request contains an invalid argument.")
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(shown))
        return masked(plain, mask)


def json_answer(
    shown: Any, status: int, headers: dict[str, str] | None = None, *, pretty: bool = True
) -> web.Response:
    """Write JSON as the service does."""
    body = msgspec.json.encode(shown)
    if pretty:
        body = msgspec.json.format(body, indent=2) + b"\n"
    answer = web.Response(body=body, status=status, headers=headers)
    answer.headers["Content-Type"] = JSON_TYPE
    return answer


def refused(refusal: Refusal, *, pretty: bool = True) -> web.Response:
    """Write a refusal."""
    return json_answer(refusal.body(), refusal.code, pretty=pretty)


def page_token(offset: int) -> str:
    """Make an opaque page token."""
    return msgspec.json.encode({"o": offset}).hex()


def _offset(token: str) -> int:
    if not token:
        return 0
    try:
        return int(msgspec.json.decode(bytes.fromhex(token))["o"])
    except (ValueError, KeyError, TypeError, msgspec.DecodeError):
        raise invalid("Invalid page token.") from None
