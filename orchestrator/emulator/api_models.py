"""The model endpoints, and the ones that exist only to say no."""

from typing import Any

import msgspec
from aiohttp import web

from orchestrator.emulator import answers, bodies
from orchestrator.emulator.context import Context, page_token
from orchestrator.emulator.own_errors import own_error
from orchestrator.emulator.prompts import prompt_tokens
from orchestrator.emulator.refusals import Refusal, entity_not_found, invalid, model_not_found
from orchestrator.emulator.rows import body_digest
from orchestrator.emulator.settings import Model


def view(model: Model) -> dict[str, Any]:
    """Write a Model."""
    shown: dict[str, Any] = {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.display_name or model.id,
        "description": "[emulator] answers deterministically and thinks nothing.",
        "inputTokenLimit": model.input_token_limit,
        "outputTokenLimit": model.output_token_limit,
        "supportedGenerationMethods": list(model.methods),
    }
    if not model.dimensions:
        shown |= {"temperature": 1, "topP": 0.95, "topK": 64, "maxTemperature": 2, "thinking": True}
    return shown


async def list_(context: Context) -> web.StreamResponse:
    """List the models."""
    models = context.emulator.settings.models
    size, offset = context.page(50, 1000)
    shown: dict[str, Any] = {"models": [view(model) for model in models[offset : offset + size]]}
    if offset + size < len(models):
        shown["nextPageToken"] = page_token(offset + size)
    return context.json(shown)


async def get(context: Context) -> web.StreamResponse:
    """Show a model."""
    return context.json(view(_model(context, "getModel")))


def _model(context: Context, method: str) -> Model:
    id_ = context.names["model"]
    model = context.emulator.settings.model(id_)
    if model is None or (method != "getModel" and method not in model.methods):
        raise model_not_found(id_, context.version, method)
    return model


async def generate(context: Context) -> web.StreamResponse:
    """Answer one interactive request, so that a pipeline can be tried both ways."""
    model = _model(context, "generateContent")
    body = bodies.read_as(context.body, "GenerateContentRequest")
    _refuse_own_error(body, "generate")
    digest = body_digest(context.body)
    tokens = prompt_tokens(body, "generate")
    return context.json(answers.generate(body, model.id, digest, tokens))


async def embed(context: Context) -> web.StreamResponse:
    """Embed one content."""
    model = _model(context, "embedContent")
    body = bodies.read_as(context.body, "EmbedContentRequest")
    return context.json(_embedded(body, model))


async def embed_batch(context: Context) -> web.StreamResponse:
    """Embed several contents at once (the synchronous call)."""
    model = _model(context, "embedContent")
    body = bodies.read_as(context.body, "BatchEmbedContentsRequest")
    requests = body.get("requests") or []
    made = [_embedded(request, model)["embedding"] for request in requests]
    return context.json({"embeddings": made})


async def count_tokens(context: Context) -> web.StreamResponse:
    """Count the tokens of a prompt as the emulator counts them."""
    _model(context, "countTokens")
    body = bodies.read_as(context.body, "CountTokensRequest")
    asked = body.get("generate_content_request") or body.get("generateContentRequest") or body
    return context.json({"totalTokens": prompt_tokens(asked, "generate")})


async def no_operations(context: Context) -> web.StreamResponse:
    """Batches are never among a model's operations."""
    _model(context, "getModel")
    if context.endpoint == "operations.get":
        raise entity_not_found()
    return context.json({})


def _embedded(body: dict[str, Any], model: Model) -> dict[str, Any]:
    _refuse_own_error(body, "embed")
    digest = body_digest(msgspec.json.encode(body))
    return answers.embed(body, digest, prompt_tokens(body, "embed"), model.dimensions, "absent")


def _refuse_own_error(body: dict[str, Any], kind: str) -> None:
    error = own_error(body, kind)
    if error is not None:
        raise invalid(error[1]) if error[0] == 3 else Refusal(500, error[1])


HANDLERS = {
    "models.list": list_,
    "models.get": get,
    "models.generate": generate,
    "models.embed": embed,
    "models.embed_batch": embed_batch,
    "models.count_tokens": count_tokens,
    "operations.list": no_operations,
    "operations.get": no_operations,
}
