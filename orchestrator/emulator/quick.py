"""The short way through an ordinary request: plain text turns and a few scalar settings.

What this accepts is valid and has no error of its own; whatever it does not accept goes the long
way, which alone refuses. A property test holds the two together.
"""

from typing import Annotated

import msgspec

from orchestrator.emulator.prompts import text_tokens

STEERING = "EMULATOR:"

Positive = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """A text part and nothing else."""

    text: str


class Content(msgspec.Struct, forbid_unknown_fields=True):
    """A turn of text parts."""

    parts: list[Part]
    role: str = ""


class CamelConfig(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """The scalar settings in lowerCamelCase, when they have the types that JSON gives them."""

    temperature: float = 0.0
    top_p: float = 0.0
    seed: Int32 = 0
    max_output_tokens: Positive = 1


class SnakeConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The same in snake_case."""

    temperature: float = 0.0
    top_p: float = 0.0
    seed: Int32 = 0
    max_output_tokens: Positive = 1


class CamelRequest(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A generate request in lowerCamelCase."""

    contents: list[Content]
    system_instruction: Content | None = None
    generation_config: CamelConfig | None = None


class SnakeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A generate request in snake_case."""

    contents: list[Content]
    system_instruction: Content | None = None
    generation_config: SnakeConfig | None = None


class EmbedRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A text to embed."""

    content: Content


_camel = msgspec.json.Decoder(CamelRequest)
_snake = msgspec.json.Decoder(SnakeRequest)
_embed = msgspec.json.Decoder(EmbedRequest)


def quick_tokens(raw: bytes, kind: str) -> int | None:
    """Count an ordinary request's prompt tokens; None sends it the long way."""
    if STEERING.encode() in raw:
        return None
    try:
        if kind == "embed":
            content = _embed.decode(raw).content
            return _tokens(content) if content.parts else None
        try:
            request: CamelRequest | SnakeRequest = _camel.decode(raw)
        except msgspec.ValidationError:
            request = _snake.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not request.contents:
        return None
    tokens = sum(map(_tokens, request.contents))
    if request.system_instruction is not None:
        tokens += _tokens(request.system_instruction)
    return tokens


def _tokens(content: Content) -> int:
    return sum(text_tokens(part.text) for part in content.parts)
