"""Webhooks: kept, told what happens to jobs, and signed so that a receiver can check it."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace as changed
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.emulator.posting import posting
from orchestrator.emulator.signing import rsa_key
from tests.emulator.world import EMBEDDING, FLASH, SETTINGS, World, inline, prompt, world


@dataclass
class Receiver:
    """An address that webhooks are sent to; answers with the statuses that it was given."""

    uri: str = ""
    statuses: list[int] = field(default_factory=list)
    came: asyncio.Queue[tuple[dict[str, str], bytes]] = field(default_factory=asyncio.Queue)

    async def take(self) -> tuple[dict[str, str], bytes]:
        """Wait for the next delivery: its headers and its body."""
        async with asyncio.timeout(20):
            return await self.came.get()


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[Receiver]:
    """Listen for deliveries for the length of a block."""
    there = Receiver(statuses=list(statuses))

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        there.came.put_nowait((headers, await request.read()))
        return web.Response(status=there.statuses.pop(0) if there.statuses else 204)

    app = web.Application()
    app.router.add_post("/hook", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    there.uri = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield there
    finally:
        await runner.cleanup()


async def _registered(there: World, uri: str, *events: str) -> dict[str, Any]:
    body = {"name": "w", "uri": uri, "subscribed_events": list(events)}
    made: dict[str, Any] = (await there.call("POST", "/v1/webhooks", body)).json
    return made


async def _job(there: World, *uris: str, path: str = FLASH) -> str:
    embed = {"content": {"parts": [{"text": "a"}]}}
    body = inline({"request": prompt("a") if path == FLASH else embed})
    if uris:
        body["batch"]["webhookConfig"] = {"uris": list(uris), "userMetadata": {"team": "blue"}}
    return str((await there.call("POST", path, body)).json["name"])


async def _told(there: World) -> dict[str, Any]:
    [delivery] = (await there.call("GET", "/__emulator__/deliveries")).json["deliveries"]
    told: dict[str, Any] = delivery
    return told


async def test_webhooks_are_kept_and_their_secrets_shown_once(there: World) -> None:
    """A webhook is made in snake_case JSON, its secret is shown once, and it can be deleted."""
    body = {"name": "w", "uri": "https://h", "subscribed_events": ["batch.succeeded"]}
    made = (await there.call("POST", "/v1beta/webhooks?webhook_id=mine", body)).json

    listed = (await there.call("GET", "/v1/webhooks")).json["webhooks"]
    rotated = (await there.call("POST", "/v1/webhooks/mine:rotateSigningSecret", {})).json
    ping = await there.call("POST", "/v1/webhooks/mine:ping", {})
    changed_ = await there.call("PATCH", "/v1/webhooks/mine", {"state": "disabled"})
    await there.call("DELETE", "/v1/webhooks/mine")

    assert made["id"] == "mine"
    assert made["state"] == "enabled"
    assert made["new_signing_secret"].startswith("whsec_")
    assert "new_signing_secret" not in listed[0]
    assert rotated["secret"] != made["new_signing_secret"]
    assert (ping.status, changed_.json["state"]) == (200, "disabled")
    assert (await there.call("GET", "/v1/webhooks/mine")).status == 404


async def test_a_registered_webhook_is_told_and_can_check_it(there: World) -> None:
    """The end of a job is POSTed with Standard Webhooks headers, signed with the secret."""
    async with receiver() as address, posting(there.emulator):
        made = await _registered(there, address.uri, "batch.succeeded")
        job = await there.create([{"key": "a", "request": prompt("a")}])
        there.emulator.advance(3600)
        headers, body = await address.take()

    key = base64.b64decode(made["new_signing_secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "batch.succeeded",
        "version": "v1",
        "timestamp": "2026-11-24T12:03:00Z",
        "data": {"id": job, "output_file_uri": f"files/{job.replace('batches/', 'batch-')}"},
    }


@pytest.mark.parametrize(
    ("state", "event", "more"),
    [
        ("FAILED", "batch.failed",
         {"error_code": "13", "error_message": "Internal error encountered."}),
        ("CANCELLED", "batch.cancelled", {}),
        ("EXPIRED", "batch.expired", {}),
    ],
)  # fmt: skip
async def test_every_end_is_an_event(there: World, state: str, event: str, more: Any) -> None:
    """Failures tell their code and text; the other ends only who it was."""
    await _registered(there, "http://localhost:9", "batch.succeeded", event)
    job = await _job(there)

    await there.call("POST", f"/__emulator__/jobs/{job}:move", {"state": state})

    listed = (await there.call("GET", "/__emulator__/deliveries")).json["deliveries"]
    assert [(d["event"]["type"], d["event"]["data"]) for d in listed] == [
        (event, {"id": job} | more)
    ]


async def test_a_job_s_own_addresses_go_before_the_registered_ones(there: World) -> None:
    """`webhookConfig` is told alone, with its metadata, and signed as a JWT of the public key."""
    async with receiver() as address, posting(there.emulator):
        await _registered(there, "http://127.0.0.1:9/never", "batch.succeeded")
        job = await _job(there, address.uri, path=EMBEDDING)
        there.emulator.advance(3600)
        headers, body = await address.take()
    [jwk] = (await there.call("GET", "/.well-known/jwks.json", key=None)).json["keys"]

    head, claims, signature = headers["webhook-signature"].split(".")
    modulus, exponent = (int.from_bytes(_unpacked(jwk[part]), "big") for part in ("n", "e"))
    opened = pow(int.from_bytes(_unpacked(signature), "big"), exponent, modulus)
    assert opened.to_bytes(256, "big").endswith(
        b"\x00" + bytes.fromhex("3031300d060960864801650304020105000420")
        + hashlib.sha256(f"{head}.{claims}".encode()).digest()
    )  # fmt: skip
    assert json.loads(_unpacked(head)) == {"alg": "RS256", "typ": "JWT", "kid": jwk["kid"]}
    event = json.loads(body)
    assert event["data"] == {"id": job, "user_metadata": {"team": "blue"}}
    assert json.loads(_unpacked(claims)).items() >= event.items()
    assert len(there.emulator.deliveries.deliveries) == 1


async def test_a_delivery_is_repeated_until_it_is_taken(there: World) -> None:
    """After a 500 the same id comes again, a second later; a 2xx ends it."""
    async with receiver(500, 200) as address, posting(there.emulator):
        await _registered(there, address.uri, "batch.succeeded")
        await _job(there)
        there.emulator.advance(3600)
        first, _ = await address.take()
        while (await _told(there))["attempts"] < 1:
            pass
        there.emulator.advance(1)
        second, _ = await address.take()
        while (delivery := await _told(there))["state"] != "delivered":
            pass

    assert first["webhook-id"] == second["webhook-id"]
    assert (delivery["attempts"], delivery["status"]) == (2, 200)


async def test_a_webhook_that_never_answers_is_disabled(there: World) -> None:
    """A day of failures ends a delivery and disables its webhook; the next end is not told."""
    made = await _registered(there, "http://127.0.0.1:9/never", "batch.succeeded")
    await _job(there)
    there.emulator.advance(3600)
    await there.emulator.settle()
    [delivery] = there.emulator.deliveries.due()

    there.emulator.deliveries.note(delivery, 0)
    there.emulator.advance(24 * 3600)
    there.emulator.deliveries.note(delivery, 0)

    assert delivery.state == "given up"
    shown = (await there.call("GET", f"/v1/webhooks/{made['id']}")).json
    assert shown["state"] == "disabled_due_to_failed_deliveries"


async def test_nothing_leaves_the_machine_unless_allowed(tmp_path: Path) -> None:
    """Addresses elsewhere are held, unless the settings say anywhere; or nothing is sent at all."""
    held = {}
    for delivery in ("loopback", "anywhere", "nowhere"):
        settings = changed(SETTINGS, webhook_delivery=delivery)
        async with world(tmp_path / delivery, settings) as there:
            await _job(there, "https://example.com/hook", "http://127.0.0.1:9/hook")
            there.emulator.advance(3600)
            await there.emulator.settle()
            held[delivery] = [d.state for d in there.emulator.deliveries.deliveries.values()]

    assert held == {
        "loopback": ["held", "waiting"],
        "anywhere": ["waiting", "waiting"],
        "nowhere": ["held", "held"],
    }


async def test_deliveries_survive_a_restart(tmp_path: Path) -> None:
    """What was not taken is sent by the next emulator on the same state, under the same id."""
    async with world(tmp_path) as there:
        await _registered(there, "http://127.0.0.1:9/hook", "batch.succeeded")
        await _job(there)
        there.emulator.advance(3600)
        await there.emulator.settle()
        before = [delivery.id for delivery in there.emulator.deliveries.due()]
    async with world(tmp_path) as again:
        assert [delivery.id for delivery in again.emulator.deliveries.due()] == before


def test_the_key_is_the_seed_s() -> None:
    """One seed has one key of 2048 bits, whose two primes are odd numbers of half that size."""
    key = rsa_key(0)

    assert key.modulus.bit_length() == 2048
    assert pow(pow(42, 65537, key.modulus), key.private, key.modulus) == 42


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "==")
