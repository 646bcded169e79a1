"""The webhook endpoints; their JSON is snake_case, unlike everything else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from orchestrator.emulator import bodies
from orchestrator.emulator.clock import stamp
from orchestrator.emulator.context import Context, page_token
from orchestrator.emulator.refusals import invalid
from orchestrator.emulator.signing import rsa_key
from orchestrator.emulator.webhooks import Webhook

FIELDS = frozenset({"name", "uri", "subscribed_events", "state"})


def _view(webhook: Webhook, *, new_secret: bool = False) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": webhook.id}
    if webhook.name:
        shown["name"] = webhook.name
    shown |= {
        "uri": webhook.uri,
        "subscribed_events": webhook.events,
        "state": webhook.state,
        "create_time": stamp(webhook.created),
        "update_time": stamp(webhook.updated),
        "signing_secrets": [{"truncated_secret": f"{secret[:10]}…"} for secret in webhook.secrets],
    }
    if new_secret:
        shown["new_signing_secret"] = webhook.secrets[-1]
    return shown


def _body(context: Context) -> dict[str, Any]:
    body = bodies.read(context.body)
    if not isinstance(body, dict):
        raise invalid("Request contains an invalid argument.")
    unknown = [name for name in body if name not in FIELDS]
    if unknown:
        text = f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.'
        raise invalid(text, [("", text)])
    return body


async def create(context: Context) -> web.StreamResponse:
    """Make a webhook; its secret is shown this once."""
    wanted_id = context.query("webhook_id")
    made = context.emulator.webhooks.create(context.project, _body(context), wanted_id)
    return context.json(_view(made, new_secret=True))


async def list_(context: Context) -> web.StreamResponse:
    """List webhooks."""
    size, offset = context.page(50, 1000)
    found = context.emulator.webhooks.list(context.project)
    shown = [_view(hook) for hook in found[offset : offset + size]]
    page: dict[str, Any] = {"webhooks": shown} if shown else {}
    if offset + size < len(found):
        page["next_page_token"] = page_token(offset + size)
    return context.json(page)


async def get(context: Context) -> web.StreamResponse:
    """Show a webhook."""
    return context.json(_view(_named(context)))


async def patch(context: Context) -> web.StreamResponse:
    """Change a webhook."""
    webhook, body = _named(context), _body(context)
    webhook.name = body.get("name", webhook.name)
    webhook.uri = str(body.get("uri", webhook.uri))
    webhook.events = [str(event) for event in body.get("subscribed_events", webhook.events)]
    webhook.state = str(body.get("state", webhook.state))
    context.emulator.webhooks.touch(webhook)
    return context.json(_view(webhook))


async def delete(context: Context) -> web.StreamResponse:
    """Delete a webhook."""
    webhook = _named(context)
    webhook.deleted = True
    context.emulator.webhooks.touch(webhook)
    return context.json({})


async def jwks(context: Context) -> web.StreamResponse:
    """Publish the key that signs what jobs' own addresses are told."""
    key = await asyncio.to_thread(rsa_key, context.emulator.settings.seed)
    return context.json({"keys": [key.jwk()]})


async def ping(context: Context) -> web.StreamResponse:
    """Say that a ping was taken; what one looks like nobody has written, so nothing is sent."""
    _named(context)
    return context.json({})


async def rotate(context: Context) -> web.StreamResponse:
    """Draw another signing secret."""
    webhook, webhooks = _named(context), context.emulator.webhooks
    webhook.secrets.append(webhooks.secret(webhook.id, len(webhook.secrets) + 1))
    webhooks.touch(webhook)
    return context.json({"secret": webhook.secrets[-1]})


def _named(context: Context) -> Webhook:
    return context.emulator.webhooks.get(context.project, context.names["id"])


HANDLERS: dict[str, Callable[[Context], Awaitable[web.StreamResponse]]] = {
    "webhooks.jwks": jwks,
    "webhooks.create": create,
    "webhooks.list": list_,
    "webhooks.get": get,
    "webhooks.patch": patch,
    "webhooks.delete": delete,
    "webhooks.ping": ping,
    "webhooks.rotate": rotate,
}
