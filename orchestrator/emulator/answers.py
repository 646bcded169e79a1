"""Answers that never pretend to be a model: deterministic from the request's body, and they say
whose they are.

Every text begins with `[emulator]` and bears the first 16 hex digits of the body's digest and an
excerpt of the prompt, so a test can pair an answer with its request. Words in a prompt steer the
answer: `EMULATOR:BLOCK`, `EMULATOR:SAFETY`, `EMULATOR:MAX_TOKENS`, `EMULATOR:RECITATION`,
`EMULATOR:ERROR=3` (a failed row with that google.rpc code).
"""

import base64
from hashlib import shake_128
from typing import Any

import msgspec

from orchestrator.emulator.bodies import pick
from orchestrator.emulator.instances import instance_of
from orchestrator.emulator.prompts import (
    prompt_text,
    prompt_tokens_by_modality,
    text_tokens,
    thinks,
)
from orchestrator.emulator.wishes import (
    as_list,
    asked_dimensions,
    config_of,
    listed,
    parameters,
    wanted,
)

EXCERPT_CHARS = 80
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

_STEPS = 4096
_FLOATS = [f"{((step + 0.5) / (_STEPS / 2) - 1) * 3**0.5:.7f}" for step in range(_STEPS)]


def generate(body: dict[str, Any], model: str, digest: bytes, tokens: int) -> dict[str, Any]:
    """Write a GenerateContentResponse."""
    text = prompt_text(body, "generate")
    usage = _prompt_usage(body, tokens)
    answer: dict[str, Any] = {"responseId": _response_id(digest), "modelVersion": model}
    if "EMULATOR:BLOCK" in text:
        answer["usageMetadata"] = usage | {"totalTokenCount": tokens}
        return answer | {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    config = config_of(body)
    count = int(pick(config, "candidate_count", "candidateCount") or 1)
    candidates = [_candidate(body, config, model, digest, text, index) for index in range(count)]
    written = sum(_candidate_tokens(candidate) for candidate in candidates)
    thoughts = 20 + digest[0] if thinks(model, config) else 0
    usage |= {"candidatesTokenCount": written, "totalTokenCount": tokens + written + thoughts}
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    return answer | {"usageMetadata": usage, "candidates": candidates}


def embed(
    body: dict[str, Any], digest: bytes, tokens: int, dimensions: int, style: str
) -> dict[str, Any]:
    """Write an EmbedContentResponse of the asked dimensionality; equal bodies have equal
    vectors.
    """
    asked = asked_dimensions(body)
    answer: dict[str, Any] = {"embedding": {"values": vector(digest, asked or dimensions)}}
    if style == "tokenCount":
        answer["tokenCount"] = str(tokens)
    elif style == "usageMetadata":
        answer["usageMetadata"] = {"promptTokenCount": tokens}
    return answer


def vector(digest: bytes, dimensions: int) -> msgspec.Raw:
    """Write a vector of about unit length as a JSON list."""
    drawn = shake_128(digest).digest(2 * dimensions)
    scale = dimensions**-0.5
    values = (
        f"{float(_FLOATS[(drawn[at] << 8 | drawn[at + 1]) % _STEPS]) * scale:.9g}"
        for at in range(0, 2 * dimensions, 2)
    )
    return msgspec.Raw(f"[{','.join(values)}]".encode())


def _candidate(
    body: dict[str, Any], config: dict[str, Any], model: str, digest: bytes, text: str, index: int
) -> dict[str, Any]:
    reason, parts = "STOP", _parts(body, config, model, digest, text)
    if "EMULATOR:SAFETY" in text:
        return {"finishReason": "SAFETY", "index": index, "safetyRatings": _RATINGS}
    if "EMULATOR:RECITATION" in text:
        return {"finishReason": "RECITATION", "index": index}
    parts, stopped = _stopped(parts, config)
    limit = pick(config, "max_output_tokens", "maxOutputTokens")
    limit = 8 if limit is None and "EMULATOR:MAX_TOKENS" in text else limit
    if limit is not None and not stopped:
        parts, reason = _limited(parts, int(limit))
    content: dict[str, Any] = {"role": "model"}
    if parts:
        content = {"parts": parts, "role": "model"}
    return {"content": content, "finishReason": reason, "index": index}


_RATINGS = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]


def _parts(
    body: dict[str, Any], config: dict[str, Any], model: str, digest: bytes, text: str
) -> list[dict[str, Any]]:
    thinking = pick(config, "thinking_config", "thinkingConfig") or {}
    parts: list[dict[str, Any]] = []
    if pick(thinking, "include_thoughts", "includeThoughts"):
        parts.append({"text": "[emulator] thought: no thinking took place.", "thought": True})
    call = _function_call(body, digest)
    if call is not None:
        return [*parts, {"functionCall": call}]
    parts.append({"text": _text(config, model, digest, text)})
    wanted = pick(config, "response_modalities", "responseModalities") or []
    if "IMAGE" in [str(modality).upper() for modality in as_list(wanted)]:
        parts.append({"inlineData": {"mimeType": "image/png", "data": _image()}})
    return parts


def _text(config: dict[str, Any], model: str, digest: bytes, text: str) -> str:
    mime, schema = wanted(config)
    if mime == "text/x.enum" and isinstance(schema, dict):
        return str(instance_of(schema, digest))
    if mime == "application/json":
        if isinstance(schema, dict):
            return msgspec.json.encode(instance_of(schema, digest)).decode()
        shown = {"emulator": model, "request": digest.hex()[:16], "prompt": excerpt(text)}
        return msgspec.json.encode(shown).decode()
    return f"[emulator] {model} has no opinion on request {digest.hex()[:16]}: {excerpt(text)}"


def _function_call(body: dict[str, Any], digest: bytes) -> dict[str, Any] | None:
    tool_config = pick(body, "tool_config", "toolConfig") or {}
    calling = pick(tool_config, "function_calling_config", "functionCallingConfig") or {}
    if str(calling.get("mode", "AUTO")).upper() != "ANY":
        return None
    allowed = as_list(pick(calling, "allowed_function_names", "allowedFunctionNames") or [])
    for tool in listed(body.get("tools")):
        found = pick(tool, "function_declarations", "functionDeclarations")
        for declared in listed(found):
            if not allowed or declared.get("name") in allowed:
                schema = parameters(declared)
                args = instance_of(schema, digest) if isinstance(schema, dict) else {}
                return {"name": declared.get("name", ""), "args": args}
    return None


def _stopped(
    parts: list[dict[str, Any]], config: dict[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    stops = [str(s) for s in as_list(pick(config, "stop_sequences", "stopSequences") or []) if s]
    for part in parts:
        at = min(
            (part.get("text", "").find(s) for s in stops if s in part.get("text", "")), default=-1
        )
        if at >= 0:
            part["text"] = part["text"][:at]
            return parts, True
    return parts, False


def _limited(parts: list[dict[str, Any]], limit: int) -> tuple[list[dict[str, Any]], str]:
    kept: list[dict[str, Any]] = []
    for part in parts:
        text = part.get("text")
        if text is None:
            kept.append(part)
            continue
        if text_tokens(text) > limit:
            if limit > 0:
                kept.append(part | {"text": text[: limit * 4]})
            return kept, "MAX_TOKENS"
        limit -= text_tokens(text)
        kept.append(part)
    return kept, "STOP"


def _candidate_tokens(candidate: dict[str, Any]) -> int:
    parts = candidate.get("content", {}).get("parts", [])
    return sum(_part_tokens(part) for part in parts)


def _part_tokens(part: dict[str, Any]) -> int:
    if "text" in part:
        return text_tokens(part["text"])
    if "inlineData" in part:
        return 1290
    return text_tokens(msgspec.json.encode(part).decode())


def _prompt_usage(body: dict[str, Any], tokens: int) -> dict[str, Any]:
    details = prompt_tokens_by_modality(body)
    usage: dict[str, Any] = {"promptTokenCount": tokens}
    usage["promptTokensDetails"] = [
        {"modality": modality, "tokenCount": count} for modality, count in details.items()
    ]
    return usage


def excerpt(text: str) -> str:
    """Shorten a prompt for showing."""
    flat = " ".join(text[: EXCERPT_CHARS * 4].split())
    return flat if len(flat) <= EXCERPT_CHARS else f"{flat[:EXCERPT_CHARS]}…"


def _response_id(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _image() -> str:
    return base64.b64encode(PIXEL).decode()
