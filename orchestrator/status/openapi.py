"""The OpenAPI document, made from the models that serialise the answers."""

from typing import Any

from pydantic.json_schema import models_json_schema

from orchestrator.status.control import BODIES
from orchestrator.status.problems import PROBLEM_JSON, Problem
from orchestrator.status.routes import EVENT_STREAM, JSON, ROUTES, Query, Route
from orchestrator.status.views import EventView

REFERENCE = "#/components/schemas/{model}"


def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the whole socket."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orchestrator status socket",
            "version": version,
            "description": "HTTP over a Unix socket. Reading is for the socket's group, "
            "orders are for the daemon's user and root.",
        },
        "servers": [{"url": "http://localhost", "description": "the Unix socket"}],
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _schemas() -> dict[str, Any]:
    shown = {route.returns for route in ROUTES if route.returns} | {Problem, EventView}
    models = [(model, "serialization") for model in sorted(shown, key=lambda one: one.__name__)]
    bodies = [(body, "validation") for body in BODIES.values()]
    _, schema = models_json_schema(
        [*models, *bodies],  # type: ignore[list-item]
        ref_template=REFERENCE,
    )
    return dict(sorted(schema["$defs"].items()))


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.handler
        if route.order is None
        else f"order_{route.order.name.lower()}",
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.body is not None:
        content = {JSON: {"schema": {"$ref": REFERENCE.format(model=route.body.__name__)}}}
        needed = any(one.is_required() for one in route.body.model_fields.values())
        operation["requestBody"] = {"required": needed, "content": content}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{id}" in route.path:
        schema = {"type": "string", "pattern": "^[a-z2-7]{10}$"}
        parameters.append({"name": "id", "in": "path", "required": True, "schema": schema})
    if route.query is not None:
        parameters.extend(_query_parameters(route.query))
    if route.handler == "events":
        schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        parameters.append({"name": "Last-Event-ID", "in": "header", "schema": schema})
    return parameters


def _query_parameters(query: type[Query]) -> list[dict[str, Any]]:
    properties = query.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "schema": _without_null(schema)}
        for name, schema in properties.items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is there or it is not; it has no way to say null."""
    kept = {key: value for key, value in schema.items() if key not in {"title", "default"}}
    choices = [one for one in kept.pop("anyOf", []) if one != {"type": "null"}]
    return {**kept, **(choices[0] if choices else {})}


def _responses(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {route.media: {"schema": _schema(route)}}
    if route.handler == "events":
        content[EVENT_STREAM] = {"schema": {"type": "string"}}
    responses: dict[str, Any] = {"200": {"description": "it is so", "content": content}}
    for status in route.problems:
        told = {PROBLEM_JSON: {"schema": {"$ref": REFERENCE.format(model=Problem.__name__)}}}
        responses[str(status)] = {"description": "a problem and its remedy", "content": told}
    return responses


def _schema(route: Route) -> dict[str, Any]:
    if route.returns is not None:
        return {"$ref": REFERENCE.format(model=route.returns.__name__)}
    return {"type": "object" if route.media == JSON else "string"}
