"""Carries out the faults of a call: before it is executed, instead of it, and on its answer."""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web

from orchestrator.emulator import faults
from orchestrator.emulator.context import JSON_TYPE, Context, json_answer, refused
from orchestrator.emulator.faults import Fault
from orchestrator.emulator.refusals import CREDIT_TEXT, RPC_NAMES, Refusal, over_quota

HTML = (
    "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  "
    "<title>Error {code} (Server Error)!!1</title>\n"
    "  <p><b>{code}.</b> <ins>That&rsquo;s an error.</ins>\n"
    "  <p>The server encountered an error and could not complete your request.\n</html>\n"
)


async def before(context: Context) -> web.StreamResponse | None:
    """Do what happens before a call is executed; an answer means that it is not executed at all."""
    if slow := faults.of(context.fired, "slow"):
        await asyncio.sleep(slow.seconds)
    if faults.of(context.fired, "lose_request"):
        return cut(context)
    instead = faults.of(context.fired, *_INSTEAD)
    return None if instead is None else _INSTEAD[instead.do](instead)


def _quota(fault: Fault) -> web.Response:
    return refused(over_quota(retry_seconds=fault.seconds or None))


def _no_credit(fault: Fault) -> web.Response:
    return refused(Refusal(402, fault.message or CREDIT_TEXT, "RESOURCE_EXHAUSTED"))


def _unavailable(fault: Fault) -> web.Response:
    return refused(Refusal(503, fault.message or "The service is currently unavailable."))


def _empty_error(fault: Fault) -> web.Response:
    code = fault.status or 503
    error = {"message": "", "code": code, "status": fault.rpc or "Service Unavailable"}
    return json_answer({"error": error}, code)


def _html(fault: Fault) -> web.Response:
    code = fault.status or 502
    page = fault.body or HTML.format(code=code)
    return web.Response(status=code, text=page, content_type="text/html", charset="utf-8")


def _malformed(fault: Fault) -> web.Response:
    body = fault.body or '{"name": "batc'
    answer = web.Response(status=fault.status or 200, body=body.encode())
    answer.headers["Content-Type"] = JSON_TYPE
    return answer


def _list_wrapped(fault: Fault) -> web.Response:
    return json_answer([_refusal(fault).body()], fault.status or 500)


def _redirect(fault: Fault) -> web.Response:
    headers = {"Location": fault.location or "http://127.0.0.1:9/"}
    return web.Response(status=fault.status or 302, headers=headers)


def _plain_answer(fault: Fault) -> web.Response:
    code = fault.status or 500
    if not fault.body:
        answer = refused(_refusal(fault))
    else:
        answer = web.Response(status=code, body=fault.body.encode())
        answer.headers["Content-Type"] = JSON_TYPE
    answer.headers.update(fault.headers)
    return answer


def _refusal(fault: Fault) -> Refusal:
    code = fault.status or 500
    name = fault.rpc or RPC_NAMES.get(code, "UNKNOWN")
    text = fault.message or "[emulator] a scripted fault"
    return Refusal(code, text, name, fault.details)


_INSTEAD: dict[str, Callable[[Fault], web.Response]] = {
    "answer": _plain_answer,
    "quota": _quota,
    "no_credit": _no_credit,
    "unavailable": _unavailable,
    "empty_error": _empty_error,
    "html": _html,
    "malformed": _malformed,
    "list_wrapped_error": _list_wrapped,
    "redirect": _redirect,
}


async def after(context: Context, answer: web.StreamResponse) -> web.StreamResponse:
    """Do what happens to the answer of a call that was executed."""
    if slow := faults.of(context.fired, "slow_answer"):
        await asyncio.sleep(slow.seconds)
    if faults.of(context.fired, "lose_answer"):
        return cut(context)
    if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
        return answer
    if half := faults.of(context.fired, "half_answer"):
        return await _half(context, answer, half)
    if drip := faults.of(context.fired, "drip"):
        return await _drip(context, answer, drip)
    return answer


def cut(context: Context) -> web.Response:
    """Drop the connection on the spot; whatever was not sent yet is never sent."""
    if context.request.transport is not None:
        context.request.transport.abort()
    return web.Response(status=500)


async def _half(context: Context, answer: web.Response, fault: Fault) -> web.StreamResponse:
    body = answer.body if isinstance(answer.body, bytes) else b""
    part = web.StreamResponse(status=answer.status, headers=_headers(answer))
    part.content_length = len(body)
    await part.prepare(context.request)
    sent = fault.bytes or int(len(body) * (fault.fraction or 0.5))
    await part.write(body[:sent])
    if context.request.transport is not None:
        context.request.transport.close()
    return part


async def _drip(context: Context, answer: web.Response, fault: Fault) -> web.StreamResponse:
    body = answer.body if isinstance(answer.body, bytes) else b""
    part = web.StreamResponse(status=answer.status, headers=_headers(answer))
    part.content_length = len(body)
    await part.prepare(context.request)
    step = max(fault.bytes, 1)
    for at in range(0, len(body), step):
        await part.write(body[at : at + step])
        await asyncio.sleep(fault.seconds)
    await part.write_eof()
    return part


def _headers(answer: web.Response) -> dict[str, str]:
    return {
        k: v
        for k, v in answer.headers.items()
        if k.lower() not in {"content-length", "transfer-encoding"}
    }


def display_name_of(body: bytes) -> str:
    """Read a create's display name for matching, however broken the rest may be."""
    try:
        batch = msgspec.json.decode(body).get("batch") or {}
    except (msgspec.DecodeError, AttributeError, UnicodeDecodeError):
        return ""
    name = batch.get("displayName") or batch.get("display_name") if isinstance(batch, dict) else ""
    return str(name or "")
