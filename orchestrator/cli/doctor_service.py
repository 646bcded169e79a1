"""The doctor's look at the service: address, clock, key, models, jobs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from orchestrator.cli.doctor_quota import quotas
from orchestrator.cli.findings import Finding, Findings, fail, ok, parted, skip, warn
from orchestrator.config.errors import ConfigError
from orchestrator.config.places import SYSTEM_CONFIG
from orchestrator.config.settings import Settings
from orchestrator.config.sources import CREDENTIAL
from orchestrator.daemon.clocks import WallClock
from orchestrator.daemon.translation import service
from orchestrator.domain.ids import InstallId
from orchestrator.gemini.client import Gemini
from orchestrator.gemini.jobs import CREATE_METHODS
from orchestrator.ports import Blocked, Trouble, Unavailable

NOBODY = InstallId("0" * 16)  # only reads, so it needs no identity
SKEW_MAX = timedelta(minutes=5)
SKEW_WARN = timedelta(seconds=30)
PATIENCE = timedelta(seconds=15)
BETWEEN = "check gemini.base_url and what stands between (a proxy)"


def service_checks(settings: Settings, credentials: Path = SYSTEM_CONFIG.parent) -> Findings:
    """Look at the key; with one, ask the service about everything else. Nothing is created.

    `credentials` is where the unit takes the key from, which only root may read.
    """
    try:
        settings.api_key()
    except ConfigError as error:
        if (credentials / CREDENTIAL).exists():
            again = f"sudo CREDENTIALS_DIRECTORY={credentials} orchestrator doctor"
            yield skip("key", f"only the unit gives it, as its credential; to ask with it: {again}")
        else:
            yield fail("key", *parted(str(error)))
        return
    yield ok("key", f"from {settings.api_key.origin}")
    for warning in settings.warnings():
        yield warn("key", *parted(warning))
    yield from asyncio.run(_asked(settings))


async def _asked(settings: Settings) -> list[Finding]:
    from dataclasses import replace

    bounds = replace(service(settings), connect_timeout=PATIENCE, call_timeout=PATIENCE)
    async with Gemini(bounds, settings.api_key, NOBODY, WallClock()) as gemini:
        return [finding async for finding in _ask(settings, gemini)]


async def _ask(settings: Settings, gemini: Gemini) -> AsyncIterator[Finding]:
    try:
        scan = await gemini.jobs.scan()
    except Blocked as error:
        yield fail("service", error.why, error.remedy)
        return
    except Unavailable as error:
        remedy = "check gemini.base_url, the network and its proxy"
        if error.overloaded:
            remedy = "the account's calls are used up: wait, or lower limits.requests_per_minute"
        yield fail("service", f"{settings.gemini.base_url}: {error}", remedy)
        return
    if not scan.complete:
        what = "the job list breaks off" if scan.jobs else "the job list is no answer of the API"
        yield fail("service", f"{settings.gemini.base_url}: {what}: {scan.trouble}", BETWEEN)
        return
    yield ok("service", f"{settings.gemini.base_url} takes the key")
    yield _clock(gemini.skew)
    async for finding in quotas(settings, gemini, scan):
        yield finding
    for finding in [await _model(settings, gemini, name) for name in _profiles(settings)]:
        yield finding


def _clock(skew: timedelta | None) -> Finding:
    if skew is None:
        return skip("clock", "the service did not tell the time")
    seconds = abs(skew.total_seconds())
    said = f"{seconds:.0f} s {'behind' if skew > timedelta(0) else 'ahead of'} the service's"
    if abs(skew) > SKEW_MAX:
        return fail("clock", said, "set it: timedatectl set-ntp true")
    if abs(skew) > SKEW_WARN:
        return warn("clock", said, "let it be set by the network: timedatectl set-ntp true")
    return ok("clock", f"right within {max(1, round(seconds))} s ({datetime.now(UTC):%H:%M} UTC)")  # noqa: TID251


def _profiles(settings: Settings) -> list[str]:
    return [name for name, profile in settings.profiles.items() if profile.model]


async def _model(settings: Settings, gemini: Gemini, name: str) -> Finding:
    profile, where = settings.profiles[name], f"model of profiles.{name}"
    assert profile.model is not None
    try:
        known = await gemini.jobs.model(profile.model)
    except Trouble as error:
        return fail(
            where, f"{profile.model}: {error}", f"try again; if that does not help, {BETWEEN}"
        )
    if known is None:
        remedy = f"name another as profiles.{name}.model"
        return fail(where, f"the service does not know {profile.model}", remedy)
    method = CREATE_METHODS[profile.kind or "generate"]
    if method not in known.methods:
        remedy = "choose a model that does batches, or the other `kind`"
        return fail(where, f"{profile.model} has no {method}", remedy)
    return ok(where, f"{profile.model} does batches")
