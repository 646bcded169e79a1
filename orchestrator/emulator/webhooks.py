"""Webhooks as a registry: created, listed, pinged, their secrets rotated. Nothing is ever delivered: no traffic leaves by itself."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from orchestrator.emulator.context import Context

HANDLERS: dict[str, Callable[[Context], Awaitable[web.StreamResponse]]] = {}
