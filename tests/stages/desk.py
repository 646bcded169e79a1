"""What a stage has around it, as plain objects: each keeps what it was told.

The ledger is real. What the ports answer, a test lays out beforehand: a value is returned, an
exception is raised.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from orchestrator.domain.batches import Batch, Part, Submitting
from orchestrator.domain.caps import Hold, Wait
from orchestrator.domain.evidence import Evidence, Start
from orchestrator.domain.ids import AccountFingerprint, IdempotencyKey, SetId, install_prefix
from orchestrator.domain.jobs import JobSnapshot, Scan
from orchestrator.domain.others import Others
from orchestrator.domain.policy import Limits, RetryPolicy, SubmissionPolicy
from orchestrator.domain.request_sets import SetInfo
from orchestrator.ports import Delivery
from orchestrator.ports.around import Sending
from orchestrator.stages.deliver import Deliver
from orchestrator.stages.reconcile import Reconcile
from orchestrator.stages.submit import Submit
from orchestrator.store import batches as batch_rows, lives, request_sets as set_rows
from orchestrator.store.database import InlineDatabase
from orchestrator.store.journal import Journal
from orchestrator.store.request_sets import StoredSet
from tests.store import values

POLICY = SubmissionPolicy(late_create=timedelta(minutes=15), list_lag=timedelta(minutes=30))
WINDOW = POLICY.window.total_seconds()


def answer(laid_out: Any) -> Any:
    """Return what a test laid out, or raise it."""
    if isinstance(laid_out, Exception):
        raise laid_out
    return laid_out


@dataclass
class HandClock:
    """Time passes only when a test says so."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return values.NOW + timedelta(seconds=self.seconds)

    def elapsed(self) -> float:
        return self.seconds

    async def sleep(self, duration: timedelta) -> None:
        self.seconds += duration.total_seconds()


class NoChance:
    """No jitter."""

    def jitter(self) -> float:
        return 0.5


@dataclass
class Account:
    """A project in good condition, unless a test says otherwise."""

    evidence: Evidence
    sending: Sending = field(default_factory=Sending)
    blocked_by: str | None = None
    limited: Limits = field(default_factory=Limits)
    tokens_max: int | None = None
    cap: Hold | None = None
    waiting: frozenset[IdempotencyKey] = frozenset()
    held: list[str] = field(default_factory=list)
    said: list[tuple[str, Any]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)

    def obstacle(self) -> str | None:
        return self.blocked_by

    def limits(self) -> Limits:
        return self.limited

    def token_limit(self, _model: str) -> int | None:
        return self.tokens_max

    def others(self) -> Others:
        return Others()

    def look_at(self, when: float) -> None:
        self.looks.append(when)

    async def afford(self, part: Part) -> Hold | Wait | None:
        return Wait() if part.token in self.waiting else self.cap

    async def too_early(self, _parts: Sequence[Part]) -> frozenset[IdempotencyKey]:
        return self.waiting

    async def hold(self, _set: SetId, why: str, _until: datetime | None = None) -> None:
        self.held.append(why)

    async def block(self, blocked: Exception, call: str) -> None:
        self.said.append(("blocked", (str(blocked), call)))

    async def accepted(self, call: str) -> None:
        self.said.append(("accepted", call))

    async def ease(self, part: Part) -> None:
        self.said.append(("eased", part.model))

    async def book(self, kind: str, _part: Part | None, _detail: str) -> None:
        self.said.append(("booked", kind))

    def report(self, kind: str, _subject: str, why: str | None) -> None:
        self.said.append((kind, why))


@dataclass
class Provider:
    """Its jobs and files, as laid out."""

    key: Any = values.ACCOUNT
    created: Any = None
    deleted: Any = None
    cancelled: Any = None
    creates: list[tuple[IdempotencyKey, str | None, int | None]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    @property
    def account(self) -> AccountFingerprint:
        return AccountFingerprint(answer(self.key))

    async def create(
        self, part: Part, file: str | None, _body: object, *, priority: int | None
    ) -> Any:
        self.creates.append((part.token, file, priority))
        return answer(self.created)

    async def cancel(self, name: str) -> None:
        answer(self.cancelled)
        self.ended.append(name)

    async def delete(self, name: str) -> None:
        answer(self.deleted)
        self.ended.append(name)


@dataclass
class Folder:
    """A set's folder in `work/`."""

    marks: set[IdempotencyKey] = field(default_factory=set)
    open: int = 0
    done: list[tuple[Any, ...]] = field(default_factory=list)
    knows_line: bool = True

    def body(self, _folder: str, part: Part) -> str:
        return f"the body of {part.token}"

    async def sent(self, _folder: str, token: IdempotencyKey) -> bool:
        return token in self.marks

    async def mark_sent(self, _folder: str, token: IdempotencyKey) -> None:
        self.marks.add(token)

    async def unmark_sent(self, _folder: str, token: IdempotencyKey) -> None:
        self.marks.discard(token)

    async def settle_line(self, _folder: str, _part: Part, line: int, message: str) -> bool:
        self.done.append(("line", line, message))
        return self.knows_line

    async def settle_all(self, _folder: str, code: int, _status: str, _message: str) -> int:
        self.done.append(("all", code))
        return 1

    async def release(self, _folder: str, part: Part, last: str | None, *_: object) -> int:
        self.done.append(("released", part.token, last))
        return 0

    async def open_count(self, _folder: str) -> int:
        return self.open


@dataclass
class Shelf:
    """An outbox that answers what is laid out, one after the other, the last again and again."""

    answers: list[Any]
    asked: list[tuple[str, str | None, Any]] = field(default_factory=list)

    async def publish(
        self, info: SetInfo, summary: Mapping[str, object], since: str | None
    ) -> Delivery:
        self.asked.append((info.outbox, since, summary["state"]))
        found: Delivery = answer(self.answers.pop(0) if self.answers[1:] else self.answers[0])
        return found


@dataclass
class Desk:
    """Everything together, with the stages at it."""

    ledger: InlineDatabase
    journal: Journal
    clock: HandClock
    account: Account
    provider: Provider = field(default_factory=Provider)
    folder: Folder = field(default_factory=Folder)
    shelf: Shelf = field(default_factory=lambda: Shelf([]))

    def submit(self, **changes: Any) -> Submit:
        return Submit(
            self.journal,
            self.folder,  # type: ignore[arg-type]
            self.provider,  # type: ignore[arg-type]
            self.clock,
            NoChance(),
            values.INSTALL,
            self.account,  # type: ignore[arg-type]
            RetryPolicy(),
            **changes,
        )

    def reconcile(self, policy: SubmissionPolicy = POLICY) -> Reconcile:
        return Reconcile(
            self.journal,
            self.folder,  # type: ignore[arg-type]
            self.provider,  # type: ignore[arg-type]
            self.provider,  # type: ignore[arg-type]
            self.clock,
            self.account,  # type: ignore[arg-type]
            policy,
        )

    def deliver(self) -> Deliver:
        return Deliver(
            self.journal,
            self.folder,  # type: ignore[arg-type]
            self.shelf,  # type: ignore[arg-type]
            self.clock,
            self.account,  # type: ignore[arg-type]
        )

    def look(self, *jobs: JobSnapshot, controls: Sequence[JobSnapshot] = ()) -> None:
        """Let a complete list be read now; `controls` in it are known to exist."""
        scan = Scan((*jobs, *controls), complete=True, pages=1)
        self.account.evidence.add(scan, self.clock.elapsed(), {job.name for job in controls})

    async def batch(self, token: IdempotencyKey) -> Batch:
        """Return a batch as the ledger has it."""
        found = await self.journal.read(batch_rows.get, token)
        assert found is not None
        return found

    async def stored(self, name: SetId) -> StoredSet:
        """Return a set as the ledger has it."""
        found = await self.journal.read(set_rows.get, name)
        assert found is not None
        return found

    async def doubtful(self, token: IdempotencyKey) -> Submitting:
        """Return a batch that is in some doubt."""
        found = await self.batch(token)
        assert isinstance(found, Submitting)
        return found


async def desk(ledger: InlineDatabase) -> Desk:
    """Begin a life of the daemon that has read one empty list."""
    life = await ledger.transact(lives.begin_life, values.NOW, "boot")
    clock = HandClock()
    evidence = Evidence(POLICY, install_prefix(values.INSTALL), Start.INTACT, 0.0)
    made = Desk(ledger, Journal(ledger, clock, life.epoch), clock, Account(evidence))
    made.look()
    return made
