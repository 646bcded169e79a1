"""A list that the service gives page by page, as one.

Trouble: a page that cannot be had or read raises `Unavailable`; a token that came before ends the
walk, as does the bound on pages. The job list, which is evidence, is walked by `listing`.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from orchestrator.gemini import wire
from orchestrator.gemini.errors import Answer, call_trouble
from orchestrator.gemini.transport import Request, Transport

T = TypeVar("T")
Page: TypeAlias = tuple[list[T], str]


async def walked(
    transport: Transport, path: str, page_size: int, read: Callable[[object], Page[T] | None]
) -> list[T]:
    """Return what is on all pages of the list at `path`; `read` reads one, with the next token."""
    service = transport.service
    found: list[T] = []
    tokens = [""]
    while len(tokens) <= service.pages_max:
        query = {"pageSize": str(page_size)} | ({"pageToken": tokens[-1]} if tokens[-1] else {})
        outcome = await transport.call(
            Request(
                name=path, method="GET", url=service.url(path, query), limit=service.call_timeout
            )
        )
        page = None
        if isinstance(outcome, Answer) and outcome.ok:
            page = read(wire.decode(outcome.body))
        if page is None:
            raise call_trouble(path, outcome)
        items, token = page
        found += items
        if not token or token in tokens:
            break
        tokens.append(token)
    return found
