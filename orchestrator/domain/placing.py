"""Where the fields of the SDK's flat `config` belong on the wire; there is no `config` there.

Values are carried as raw JSON: what is moved is never parsed and written again.
"""

import re
from collections.abc import Mapping

import msgspec

BESIDE = frozenset(
    {
        "systemInstruction",
        "tools",
        "toolConfig",
        "safetySettings",
        "cachedContent",
        "serviceTier",
        "labels",
        "store",
        "taskType",
        "title",
        "outputDimensionality",
    }
)
EMBED_CONFIG = frozenset({"autoTruncate", "documentOcr", "audioTrackExtraction"})
CLIENT_ONLY = frozenset(
    {
        "automaticFunctionCalling",
        "httpOptions",
        "shouldReturnHttpResponse",
        "automaticContinuation",
        "mimeType",
    }
)

_UNDERSCORED = re.compile(r"_([a-z])")
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def camel(name: str) -> str:
    """Return the camelCase spelling of a field's name, if it is in snake_case.

    The service takes both spellings, and no mixture.
    """
    if name != name.lower():
        return name
    return _UNDERSCORED.sub(lambda match: match[1].upper(), name)


def fields_of(value: bytes) -> dict[str, bytes]:
    """Return the members of a JSON object as raw JSON; raises msgspec.MsgspecError for others."""
    return {name: bytes(raw) for name, raw in _decode(value).items()}


def join_fields(fields: Mapping[str, bytes]) -> bytes:
    """Write an object of raw members."""
    return b"{" + b",".join(msgspec.json.encode(k) + b":" + v for k, v in fields.items()) + b"}"


def find_field(fields: Mapping[str, bytes], wanted: str) -> str | None:
    """Return the name, in whatever spelling, under which `wanted` (camelCase) is there."""
    return next((name for name in fields if camel(name) == wanted), None)


def place_config(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the request's fields with those of its `config` put in their wire place.

    Raises ValueError, in words for the user, for what has no place or two values.
    """
    placed = {name: value for name, value in fields.items() if name != "config"}
    if "config" not in fields:
        return placed
    try:
        config = fields_of(fields["config"])
    except msgspec.MsgspecError as error:
        raise ValueError("config must be an object") from error
    for name, value in config.items():
        if value == b"null":
            continue  # how the SDK's types say "not given"
        _place(placed, name, value)
    return placed


def _place(placed: dict[str, bytes], name: str, value: bytes) -> None:
    wanted = camel(name)
    if wanted in CLIENT_ONLY:
        raise ValueError(f"config.{name} is for the SDK's client and has no place on the wire")
    if wanted in BESIDE:
        if find_field(placed, wanted) is not None:
            raise ValueError(f"{wanted} is given both in the request and in its config")
        placed[wanted] = as_content(value) if wanted == "systemInstruction" else value
        return
    owner = "embedContentConfig" if wanted in EMBED_CONFIG else "generationConfig"
    there = find_field(placed, owner) or owner
    inner = fields_of(placed.get(there, b"{}"))
    if find_field(inner, wanted) is not None:
        raise ValueError(f"{wanted} is given both in {owner} and in config")
    inner[wanted] = value
    placed[there] = join_fields(inner)


def as_content(value: bytes) -> bytes:
    """Return a Content: a plain string is what the SDK takes for one with a single text part."""
    return b'{"parts":[{"text":' + value + b"}]}" if value[:1] == b'"' else value


def as_contents(fields: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the fields with plain strings as contents made into one, as the SDK does."""
    changed = dict(fields)
    if changed.get("contents", b"")[:1] == b'"':
        changed["contents"] = b'[{"parts":[{"text":' + changed["contents"] + b'}],"role":"user"}]'
    return changed


def spellings(name: str) -> tuple[str, ...]:
    """Return the ways in which the service takes a field's camelCase name."""
    snake = re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)
    return (name,) if snake == name else (name, snake)
