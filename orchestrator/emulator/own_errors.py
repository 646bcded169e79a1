"""Errors of a request's own making: it parses, and the service only finds out when it runs it."""

import re
from typing import Any

from orchestrator.emulator.bodies import pick
from orchestrator.emulator.instances import can_be_met
from orchestrator.emulator.prompts import prompt_text
from orchestrator.emulator.wishes import asked_dimensions, config_of, listed, parameters, wanted

CANDIDATES_MAX = 8
DIMENSIONS_MAX = 3072
NO_DIGEST = bytes(16)
EMBED_FIELD = "* EmbedContentRequest.output_dimensionality"

_ERROR = re.compile(r"EMULATOR:ERROR=(\d+)")


def own_error(body: dict[str, Any], kind: str) -> tuple[int, str] | None:
    """Find what the service would only find when it runs the request: (google.rpc code,
    message).
    """
    if kind == "embed":
        content = body.get("content")
        if not isinstance(content, dict) or not content.get("parts"):
            return 3, "* EmbedContentRequest.content: contents is not specified\n"
        if not 0 <= asked_dimensions(body) <= DIMENSIONS_MAX:
            return 3, f"{EMBED_FIELD}: must be between 1 and {DIMENSIONS_MAX}.\n"
        return _asked_error(prompt_text(body, kind))
    if not body.get("contents"):
        return 3, "* GenerateContentRequest.contents: contents is not specified\n"
    for tool in listed(body.get("tools")):
        if pick(tool, "mcp_servers", "mcpServers"):
            return 3, "Remote MCP tools are not supported in batch requests."
    return _config_error(body) or _tool_error(body) or _asked_error(prompt_text(body, kind))


def _config_error(body: dict[str, Any]) -> tuple[int, str] | None:
    config = config_of(body)
    mime, schema = wanted(config)
    mime = mime or "text/plain"
    if mime not in {"text/plain", "application/json", "text/x.enum"}:
        return 3, (
            "* GenerateContentRequest.generation_config.response_mime_type: allowed mimetypes are "
            "`text/plain`, `application/json`, `application/xml`, `application/yaml` and "
            "`text/x.enum`.\n"
        )
    if schema is not None and mime == "text/plain":
        return 3, (
            "* GenerateContentRequest.generation_config.response_schema: only allowed when "
            "response_mime_type is `application/json`.\n"
        )
    if isinstance(schema, dict) and not can_be_met(schema, NO_DIGEST):
        return 3, "* GenerateContentRequest.generation_config.response_schema: invalid schema.\n"
    candidates = int(pick(config, "candidate_count", "candidateCount") or 1)
    tokens = int(pick(config, "max_output_tokens", "maxOutputTokens") or 1)
    if not 1 <= candidates <= CANDIDATES_MAX or tokens < 1:
        return 3, (
            f"* GenerateContentRequest.generation_config: candidate_count must be from 1 to "
            f"{CANDIDATES_MAX}, and max_output_tokens must be positive.\n"
        )
    return None


def _tool_error(body: dict[str, Any]) -> tuple[int, str] | None:
    for tool in listed(body.get("tools")):
        for declared in listed(pick(tool, "function_declarations", "functionDeclarations")):
            schema = parameters(declared)
            if isinstance(schema, dict) and not can_be_met(schema, NO_DIGEST):
                name = declared.get("name", "")
                return 3, f"* GenerateContentRequest.tools: invalid parameters of {name}.\n"
    return None


def _asked_error(text: str) -> tuple[int, str] | None:
    found = _ERROR.search(text)
    return (int(found.group(1)), "[emulator] the prompt asked for this error") if found else None
