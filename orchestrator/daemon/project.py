"""The present condition of the one account: what the stages ask before they act.

Everything here may be lost at any moment: what must hold is guarded by the ledger, what is lost is
patience and memory of one life.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from orchestrator.daemon import money_caps
from orchestrator.daemon.blocking import Gate
from orchestrator.daemon.money import Purse
from orchestrator.domain.batches import Part, Usage
from orchestrator.domain.caps import Hold, Wait
from orchestrator.domain.evidence import Evidence, Start
from orchestrator.domain.ids import (
    AccountFingerprint,
    IdempotencyKey,
    InstallId,
    JobName,
    ProjectName,
    SetId,
    install_prefix,
)
from orchestrator.domain.jobs import Scan
from orchestrator.domain.others import Others
from orchestrator.domain.policy import (
    LEARNED_TOKENS_MIN,
    Limits,
    PollPolicy,
    RetryPolicy,
    SubmissionPolicy,
)
from orchestrator.domain.request_sets import is_told
from orchestrator.ports import Blocked, Clock, Sending
from orchestrator.store import incidents, notices, projects, queue, request_sets
from orchestrator.store.database import Tx
from orchestrator.store.errors import StaleTransition
from orchestrator.store.journal import Journal

log = structlog.get_logger()
FLAG_TRIES = 5
NO_CEILING = 10**15
RECOVER_EVERY = timedelta(minutes=10)
RECOVER_STEPS = 20
STEP_MIN = 100_000
EASE_SECONDS = 30.0
LEARNED_SHARE = 32  # of the configured limit: what was learned never falls below that part


@dataclass(frozen=True, slots=True)
class Policies:
    """The numbers that decide, as the settings gave them."""

    limits: Limits
    retry: RetryPolicy
    submission: SubmissionPolicy
    poll: PollPolicy
    purse: Purse


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told what is seen: the board and the metrics, or nobody."""

    scanned: Callable[[Scan], None] = lambda _scan: None
    listed: Callable[[float], None] = lambda _seconds: None
    look: Callable[[], None] = lambda: None
    report: Callable[[str, str, str | None], None] = lambda _kind, _subject, _why: None


@dataclass(slots=True)
class OneProject:
    """Implements `ports.Project` for the account that the present key belongs to.

    `account` is asked anew each time: with another key all evidence begins anew. `room` tells
    why nothing may be written now, None if there is space.
    """

    name: ProjectName
    journal: Journal
    clock: Clock
    install: InstallId
    policies: Policies
    start: Start
    account: Callable[[], AccountFingerprint]
    room: Callable[[], str | None]
    told: Told = field(default_factory=Told)
    sending: Sending = field(default_factory=Sending)
    _evidence: Evidence | None = None
    _account: AccountFingerprint | None = None
    _learned: dict[str, int] = field(default_factory=dict)
    _eased: dict[str, float] = field(default_factory=dict)
    _others: Others = field(default_factory=Others)
    _regular: float = 0.0
    _wanted: list[float] = field(default_factory=list)
    _not_before: float = -math.inf
    _seen: set[JobName] = field(default_factory=set)
    _born: float = 0.0
    _gate: Gate = field(init=False)

    def __post_init__(self) -> None:
        self._gate = Gate(self.name, self.journal, self.clock, self.policies.retry)

    async def load(self) -> None:
        """Take over what earlier lives have learned."""
        self._born = self.clock.elapsed()
        models = await self.journal.read(projects.learned, self.name)
        self._learned = dict(models)
        await self._gate.load()

    # ---- what the lists prove -----------------------------------------------------------------

    @property
    def evidence(self) -> Evidence:
        """What the job lists of this life and this account prove."""
        account = self._present_account()
        if self._evidence is None or account != self._account:
            start = self.start if self._evidence is None else Start.INTACT
            if self._evidence is not None:
                self._not_before = -math.inf  # that was said to another key
            prefix = install_prefix(self.install)
            now = self.clock.elapsed()
            self._evidence = Evidence(self.policies.submission, prefix, start, now)
            self._account = account
            self.sending.doubtful.clear()
            self.sending.fenced.clear()
            self._wanted.append(now)
        return self._evidence

    def _present_account(self) -> AccountFingerprint | None:
        try:
            return self.account()
        except Blocked:  # there is no key just now: what was seen stays what it is
            return self._account

    def look_at(self, when: float) -> None:
        """Ask for a scan at this time at the latest, or as soon after as one may be made."""
        self._wanted.append(when)
        self.told.look()

    def next_scan(self) -> float:
        """Return when the next scan is due."""
        return max(self._not_before, min([self._regular, *self._wanted]))

    def scanned(self, wait: timedelta | None) -> None:
        """Note that a scan was made."""
        now = self.clock.elapsed()
        self._not_before = -math.inf
        self._wanted = [when for when in self._wanted if when > now]
        self._regular = now + (wait or self.policies.poll.interval_max).total_seconds()

    def backed_off(self, wait: timedelta) -> None:
        """Note that a scan failed: nobody's wish brings the next one earlier."""
        self._regular = self._not_before = self.clock.elapsed() + wait.total_seconds()
        self._wanted = []

    def saw(self, scan: Scan, others: Others | None) -> None:
        """Note what others run, and how soon new jobs of ours are listed."""
        prefix = install_prefix(self.install)
        ours = [job for job in scan.jobs if job.display_name.startswith(prefix)]
        self._others = self._others if others is None else others
        now, life = self.clock.now(), self.clock.elapsed() - self._born
        for job in ours:
            if job.name in self._seen or job.created_at is None:
                continue
            self._seen.add(job.name)
            age = (now - job.created_at).total_seconds()
            if 0 <= age < life:
                self.told.listed(age)
        self.told.scanned(scan)

    # ---- what may start -----------------------------------------------------------------------

    def obstacle(self) -> str | None:
        """Tell why nothing new may start at the provider now."""
        return self.room() or self._gate.obstacle()

    def limits(self) -> Limits:
        """Return what the project may hold."""
        return self.policies.limits

    def token_limit(self, model: str) -> int | None:
        """Return the configured limit, or what was learned if that is lower."""
        known = (self.policies.limits.tokens_max(model), self._learned.get(model))
        return min((limit for limit in known if limit is not None), default=None)

    def others(self) -> Others:
        """Return what is active in the project beside our live batches."""
        return self._others

    async def ease(self, part: Part) -> None:
        """Halve what the model of this batch may have enqueued; it recovers slowly.

        Batches that were refused together are one sign, not many.
        """
        model, now, elapsed = part.model, self.clock.now(), self.clock.elapsed()
        if elapsed - self._eased.get(model, -math.inf) < EASE_SECONDS:
            return
        self._eased[model] = elapsed
        present = self.token_limit(model)
        ceiling = self.policies.limits.tokens_max(model) or NO_CEILING
        least = min(LEARNED_TOKENS_MIN, max(ceiling // LEARNED_SHARE, 1))

        def halve(tx: Tx) -> int:
            load = queue.load(tx)
            tried = load.tokens.get(model, 0) + load.estimates.tokens(part)
            base = tried if present is None else min(tried, present)
            return projects.halve(tx, now, self.name, model, base, least)

        limit = await self.journal.write(halve)
        self._learned[model] = limit
        log.warning("limit.halved", project=self.name, model=model, tokens=limit)

    async def recover(self) -> None:
        """Raise learned limits a little, end a block that is over: called every `RECOVER_EVERY`."""
        await self._gate.forget()
        now = self.clock.now()
        for model, learned in list(self._learned.items()):
            ceiling = self.policies.limits.tokens_max(model) or NO_CEILING
            share = ceiling // RECOVER_STEPS if ceiling != NO_CEILING else STEP_MIN
            step = max(share, learned // 4, 1)
            limit = await self.journal.write(projects.recover, now, self.name, model, ceiling, step)
            if limit is None:
                del self._learned[model]
            else:
                self._learned[model] = limit

    # ---- blocked ------------------------------------------------------------------------------

    async def block(self, blocked: Blocked, call: str) -> None:
        """Stop submissions; after a growing wait one more try is let through."""
        await self._gate.close(blocked, call)

    async def accepted(self, call: str) -> None:
        """End a block when the call that was refused is served again."""
        await self._gate.accepted(call)

    # ---- money and holds ----------------------------------------------------------------------

    async def afford(self, part: Part) -> Hold | Wait | None:
        """Tell which cap on cost this batch would break, or may break."""
        purse = self.policies.purse
        return await self.journal.read(money_caps.verdict, self.clock.now(), purse, part)

    async def too_early(self, parts: Sequence[Part]) -> frozenset[IdempotencyKey]:
        """Return those that wait until what is in flight has told what it costs."""
        now, purse = self.clock.now(), self.policies.purse
        return await self.journal.read(money_caps.too_early, now, purse, parts)

    async def price(self, part: Part, usage: Usage) -> int | None:
        """Return what this usage costs, None if no price is set."""
        return self.policies.purse.cost(part.model, usage)

    async def hold(self, request_set: SetId, why: str, until: datetime | None = None) -> None:
        """Start nothing new for a set until the operator has spoken."""
        now = self.clock.now()

        def flag(tx: Tx) -> bool:
            stored = request_sets.get(tx, request_set)
            if stored is None or is_told(stored.flags, why):
                return False
            after = replace(stored.flags, held=why, held_until=until)
            request_sets.flag(tx, now, request_set, stored.flags, after, f"held: {why}")
            notices.enqueue_held(tx, now, request_set, stored.value.info.name, why)
            return True

        for _ in range(FLAG_TRIES):
            try:
                held = await self.journal.write(flag)
            except StaleTransition:
                continue
            if held:
                log.warning("set.held", set=request_set, why=why)
            return

    def report(self, kind: str, subject: str, why: str | None) -> None:
        """Show that something needs a look, as long as it lasts."""
        self.told.report(kind, subject, why)

    async def book(self, kind: str, part: Part | None, detail: str) -> None:
        """Book an incident with its probable cost."""
        now, purse = self.clock.now(), self.policies.purse
        cost = purse.estimate(part, Usage()) or 0 if part is not None else 0
        token, requests = (part.token, part.count) if part is not None else (None, 0)
        await self.journal.write(incidents.book, now, kind, token, detail, requests, cost)
        log.warning(
            "incident.booked", kind=kind, batch=token, why=detail, requests=requests, cost=cost
        )
