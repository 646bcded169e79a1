"""The table of routes: the server, the OpenAPI document and the tests are made from it."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from orchestrator.status.control import BODIES, MEANING, Done, Verb
from orchestrator.status.status_views import StatusView
from orchestrator.status.views import (
    BatchPage,
    Display,
    EventPage,
    Health,
    SetPage,
    SetState,
    SetView,
    View,
)

JSON = "application/json"
PROMETHEUS = "text/plain"
EVENT_STREAM = "text/event-stream"
SHOWN = tuple(dict.fromkeys((*get_args(SetState), *get_args(Display))))


def _digits(value: Any) -> Any:
    """Refuse what Python would take for a number and nobody else would ("1_0", " 1")."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,18}", value):
        raise ValueError("must be a whole number in decimal digits")
    return value


Whole = Annotated[int, Field(ge=0, lt=10**18), BeforeValidator(_digits)]
Limit = Annotated[int, Field(ge=1, le=500), BeforeValidator(_digits)]


def _known_state(word: str) -> str:
    """Refuse a word that no set will ever have: it would find nothing, whatever there is."""
    if word not in SHOWN:
        raise ValueError(f"must be one of {', '.join(SHOWN)}")
    return word


AnyState = Annotated[
    str, Field(json_schema_extra={"enum": list(SHOWN)}), AfterValidator(_known_state)
]


class Query(BaseModel):
    """The base of query parameters: an unknown one is an error, not a filter that does nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SetsQuery(Query):
    """Which sets: by state (either word, may be repeated), exact name, or beginning of the id."""

    state: list[AnyState] = Field(default=[], max_length=len(SHOWN))
    name: str | None = Field(default=None, max_length=255)
    id: str | None = Field(default=None, pattern=r"^[a-z2-7]{1,10}$")
    after: str | None = Field(default=None, pattern=r"^[0-9]{1,18}-[a-z2-7]{10}$")
    limit: Limit = 100


class BatchesQuery(Query):
    """Which batches of a set: those after a serial number."""

    after: Whole = 0
    limit: Limit = 100


class EventsQuery(Query):
    """Which events: those after an id, of one set or of all."""

    after: Whole | None = None
    set: str | None = Field(default=None, pattern=r"^[a-z2-7]{10}$")
    limit: Limit = 100


@dataclass(frozen=True, slots=True)
class Route:
    """One route. `handler` names a method of the Api, `problems` the statuses beside success.

    `queues` is for answers that only cost time of the loop: they are given one by one.
    """

    method: str
    path: str
    handler: str
    summary: str
    returns: type[View] | None = None
    media: str = JSON
    query: type[Query] | None = None
    order: Verb | None = None
    problems: tuple[int, ...] = ()
    queues: bool = False

    @property
    def body(self) -> type[View] | None:
        """What may be sent along."""
        return None if self.order is None else BODIES.get(self.order)

    @property
    def pattern(self) -> str:
        """The path in the HTTP library's form: an id has no colon, so that a verb can follow."""
        return self.path.replace("{id}", "{id:[^/:]+}")


ROUTES = (
    Route("GET", "/v1/status", "status", "The whole daemon at a glance.", StatusView, queues=True),
    Route(
        "GET",
        "/v1/sets",
        "sets",
        "Sets, newest first.",
        SetPage,
        query=SetsQuery,
        problems=(400,),
        queues=True,
    ),
    Route("GET", "/v1/sets/{id}", "one_set", "One set.", SetView, problems=(404,), queues=True),
    Route(
        "GET",
        "/v1/sets/{id}/batches",
        "batches",
        "The batches of a set.",
        BatchPage,
        query=BatchesQuery,
        problems=(400, 404, 503),
    ),
    Route(
        "GET",
        "/v1/events",
        "events",
        "Every step that was taken: a page, or a stream of server-sent events.",
        EventPage,
        query=EventsQuery,
        problems=(400, 503),
    ),
    *(
        Route(
            "POST",
            f"/v1/sets/{{id}}:{verb}",
            "order",
            MEANING[verb],
            Done,
            order=verb,
            problems=(400, 403, 404, 408, 409, 413, 415, 503),
        )
        for verb in Verb
    ),
    Route("GET", "/healthz", "healthz", "The process answers.", Health),
    Route("GET", "/readyz", "readyz", "The daemon does its work.", Health, problems=(503,)),
    Route("GET", "/metrics", "metrics", "Prometheus metrics.", media=PROMETHEUS, queues=True),
    Route("GET", "/openapi.json", "openapi", "This document.", queues=True),
)
