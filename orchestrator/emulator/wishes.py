"""What a request wishes for, whichever of several fields and spellings says it."""

from typing import Any

from orchestrator.emulator.bodies import pick


def wanted(config: dict[str, Any]) -> tuple[str | None, Any]:
    """Say (MIME type, schema) of the wanted answer, from whichever of four fields has them."""
    response_format = pick(config, "response_format", "responseFormat") or {}
    text = response_format.get("text")
    if isinstance(text, dict):
        asked = pick(text, "mime_type", "mimeType") or "APPLICATION_JSON"
        return ("application/json" if asked == "APPLICATION_JSON" else None), text.get("schema")
    schema = pick(config, "response_schema", "responseSchema")
    if schema is None:
        schema = pick(config, "response_json_schema", "responseJsonSchema")
    if schema is None:
        schema = pick(config, "_response_json_schema", "_responseJsonSchema")
    return pick(config, "response_mime_type", "responseMimeType"), schema


def parameters(declared: dict[str, Any]) -> Any:
    """Find a declared function's schema of parameters, in either of its fields."""
    schema = declared.get("parameters")
    if schema is None:
        return pick(declared, "parameters_json_schema", "parametersJsonSchema")
    return schema


def config_of(body: dict[str, Any]) -> dict[str, Any]:
    """Find a generate request's generation config, or none."""
    found = pick(body, "generation_config", "generationConfig")
    return found if isinstance(found, dict) else {}


def listed(value: Any) -> list[dict[str, Any]]:
    """List the objects of a repeated field, which may stand alone."""
    return [item for item in as_list(value) if isinstance(item, dict)]


def as_list(value: Any) -> list[Any]:
    """List the items of a repeated field, which may stand alone or be missing."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def asked_dimensions(body: dict[str, Any]) -> int:
    """Say the dimensionality that a request to embed asks for; 0 means the model's own."""
    config = pick(body, "embed_content_config", "embedContentConfig") or {}
    names = ("output_dimensionality", "outputDimensionality")
    return int(pick(body, *names) or pick(config, *names) or 0)
