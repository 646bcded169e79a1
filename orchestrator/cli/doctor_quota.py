"""The doctor's look at the quotas: active jobs, enqueued tokens, storage; what is used of each.

Jobs and files are counted at the service, those of other programs too. Tokens the service does
not tell: they are our own estimates, asked of the daemon, or of the ledger when none is running.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping

from orchestrator.cli.failure import Failure
from orchestrator.cli.findings import Finding, ok, parted, skip, warn
from orchestrator.cli.formats import count, short, size
from orchestrator.config.settings import Settings
from orchestrator.domain.jobs import Scan, has_ended
from orchestrator.gemini.client import Gemini
from orchestrator.ports import Trouble

NEARLY_PERCENT = 90


async def quotas(settings: Settings, gemini: Gemini, scan: Scan) -> AsyncIterator[Finding]:
    """Compare what is used with what the tier allows."""
    yield _jobs(settings, scan)
    for finding in await asyncio.to_thread(lambda: list(_tokens(settings))):
        yield finding
    yield await _storage(settings, gemini)


def _jobs(settings: Settings, scan: Scan) -> Finding:
    active = sum(1 for job in scan.jobs if not has_ended(job))
    most = settings.limits.max_active_jobs
    said = f"{active} of {most} jobs are active"
    remedy = "nothing new starts until one ends; wait, cancel some, or raise limits.max_active_jobs"
    return warn("quota jobs", said, remedy) if active >= most else ok("quota jobs", said)


def _tokens(settings: Settings) -> Iterator[Finding]:
    try:
        held = _held(settings)
    except Failure as failure:
        yield skip("quota tokens", parted(str(failure))[0])
        return
    profiles = {profile.model for profile in settings.profiles.values() if profile.model}
    limits = settings.account_limits(*profiles)
    for model in sorted(profiles | set(held)):
        yield _tokens_of(model, held.get(model, 0), limits.tokens_max(model), settings)


def _tokens_of(model: str, used: int, most: int | None, settings: Settings) -> Finding:
    check = "quota tokens"
    if most is None:
        return ok(check, f"about {short(used)} of {model} are enqueued; no limit is known")
    said = f"about {short(used)} of {short(most)} of {model} are enqueued"
    if used * 100 < most * NEARLY_PERCENT:
        return ok(check, said)
    tier = f"limits.tier (now {settings.limits.tier})"
    remedy = f"batches wait until jobs end; has your account more, set {tier} or"
    return warn(check, said, f"{remedy} limits.enqueued_tokens")


def _held(settings: Settings) -> Mapping[str, int]:
    """Return the estimated tokens in live jobs, by model; a Failure says why nobody can tell."""
    from orchestrator.cli.fsck import asked
    from orchestrator.status.client import Answered, Client, Unreachable
    from orchestrator.store.queue import load

    try:
        projects = Client(settings.paths.socket, timeout=5.0).status()["projects"]
    except (Unreachable, Answered):
        ledger = settings.paths.ledger
        return asked(settings.paths, load).tokens if ledger and ledger.exists() else {}
    total: Counter[str] = Counter()
    for project in projects:
        total.update(project["enqueued_tokens"])
    return total


async def _storage(settings: Settings, gemini: Gemini) -> Finding:
    try:
        files = await gemini.files.stored()
    except Trouble as error:
        return skip("quota storage", f"the files cannot be listed: {error}")
    used, most = sum(file.size for file in files), settings.limits.storage_max_bytes
    said = f"{count(len(files))} input files hold {size(used)} of {size(most)}"
    if used * 100 < most * NEARLY_PERCENT:
        return ok("quota storage", said)
    remedy = "files go 48 h after their upload; wait, or delete those of other programs"
    return warn("quota storage", said, remedy)
