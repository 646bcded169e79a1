"""Mistakes that could be made, planted one at a time; each is noticed by the harness it names.

A bug is another value of one function or constant, in this process and for as long as its context
lasts. The rules of the protocol that are broken in the model (`tests/model`) come on top of these.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
from sqlalchemy import bindparam

from orchestrator.domain.evidence import Absence, Evidence
from orchestrator.domain.ids import InstallId, SetId, token
from orchestrator.domain.jobs import Scan
from orchestrator.domain.join import Counting
from orchestrator.domain.policy import SubmissionPolicy
from orchestrator.gemini import errors, jobs as gemini_jobs
from orchestrator.gemini.jobs import GeminiJobs
from orchestrator.gemini.service import Service
from orchestrator.ports import InDoubt, Trouble, Unavailable
from orchestrator.service.redaction import Redactor
from orchestrator.spool import atomic, plan, publish
from orchestrator.spool.work import WorkFolder
from orchestrator.stages import plan as planning
from orchestrator.stages.reconcile import Reconcile
from orchestrator.stages.watch import Watch
from orchestrator.store import lives, sqlite, transitions
from orchestrator.store.codecs import BATCH_STATE_COLUMNS
from orchestrator.store.tables import batches


@dataclass(frozen=True)
class Bug:
    """What is swapped for what, and which harness notices."""

    name: str
    owner: Any
    attribute: str
    value: Any
    harness: str
    besides: tuple["Bug", ...] = ()


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """Let a bug be there."""
    was = bug.owner.__dict__[bug.attribute]
    setattr(bug.owner, bug.attribute, bug.value)
    try:
        with ExitStack() as others:
            for other in bug.besides:
                others.enter_context(planted(other))
            yield
    finally:
        setattr(bug.owner, bug.attribute, was)


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """Say that it is done."""


async def _done(*_args: Any, **_kwargs: Any) -> None:
    """Say that it is done."""


def _only_the_first(*_args: Any) -> list[int]:
    return [1]


async def _no(*_args: Any, **_kwargs: Any) -> bool:
    return False


def _true(*_args: Any, **_kwargs: Any) -> bool:
    return True


def _retry_doubt(outcome: Any) -> Trouble:
    trouble = _create_trouble(outcome)
    return Unavailable(str(trouble)) if isinstance(trouble, InDoubt) else trouble


_create_trouble: Callable[[Any], Trouble] = errors.create_trouble
_add = Evidence.add
_write_all = atomic.write_all


def _absent_at_once(self: Evidence, since: float) -> Absence:
    return Absence.PROVEN if self.looked_after(since) else Absence.UNPROVEN


def _add_whole(self: Evidence, scan: Scan, began: float, controls: Any) -> None:
    _add(self, replace(scan, complete=True), began, {job.name for job in scan.jobs} | {*controls})


def _write_half(file: int, data: Any, path: Path) -> None:
    _write_all(file, bytes(data)[: len(data) // 2], path)


def _append(path: Path, data: bytes, mode: int = 0o640, **_: Any) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
    _write_all(file, data, path)
    atomic.fsync(file, path)
    os.close(file)


async def _believed(_self: Watch, scan: Scan, *_known: Any) -> Scan:
    return scan


def _as_it_is(_self: Redactor, text: str) -> str:
    return text


_create = GeminiJobs.create


async def _create_again(self: GeminiJobs, *args: Any) -> Any:
    try:
        return await _create(self, *args)
    except InDoubt:
        return await _create(self, *args)


def _nobodys_business(_folder: Path) -> Any:
    return ANY


def _none_missing(self: Counting) -> Any:
    return np.zeros(self.places.count, np.bool_)


_sent_anywhere = replace(Service(), other_hosts=True).sent_to
_chance = count()


def _from_chance(install: InstallId, request_set: SetId, generation: int, _ranges: str) -> Any:
    return token(install, request_set, generation, f"drawn {next(_chance)}")


_UNGUARDED = (
    batches.update()
    .where(batches.c.token == bindparam("was_token"))
    .values({name: bindparam(name) for name in ("state", *BATCH_STATE_COLUMNS)})
    .returning(batches.c.set_id, batches.c.id)
)
_NORMAL = {**sqlite.PRAGMAS, "synchronous": 1}

BUGS = (
    Bug("commits do not wait for the disk", sqlite, "PRAGMAS", _NORMAL, "settings"),
    Bug("a move is not guarded", transitions, "_MOVE_BATCH", _UNGUARDED, "late decision"),
    Bug("the key is written into the log", Redactor, "__call__", _as_it_is, "log"),
    Bug("tokens are drawn, not derived", plan, "token", _from_chance, "tokens"),
    Bug("a list that hides jobs is believed", Watch, "_doubted", _believed, "empty list"),
    Bug(
        "an empty list is believed",
        Evidence,
        "add",
        _add_whole,
        "empty list",
        (Bug("no control", Watch, "_doubted", _believed, "empty list"),),
    ),
    Bug("an older life may still send", lives, "check_epoch", _nothing, "two lives"),
    Bug("the state directory is not locked", fcntl, "flock", _nothing, "two daemons"),
    Bug("a taken name in the outbox is taken over", publish, "_owner", _nobodys_business, "outbox"),
    Bug(
        "uploads go to any host",
        Service,
        "sent_to",
        lambda _self, *args: _sent_anywhere(*args),
        "addresses",
    ),
    Bug("a create in doubt is sent again", GeminiJobs, "create", _create_again, "answers lost"),
    Bug(
        "the window leaves out how late a create may be",
        SubmissionPolicy,
        "window",
        property(lambda self: self.list_lag),
        "late creates",
    ),
    Bug("a missing answer is overlooked", Counting, "missing", _none_missing, "rows missing"),
    Bug("doubt is taken for a no", gemini_jobs, "create_trouble", _retry_doubt, "hidden"),
    Bug("absence is believed at once", Evidence, "absence", _absent_at_once, "hidden"),
    Bug("nobody asks about what was sent", Reconcile, "do", _done, "answers lost"),
    Bug("a death counts as never sent", Reconcile, "_adopt", _done, "answers lost"),
    Bug("no fsync at all", atomic, "fsync", _nothing, "power"),
    Bug("no fsync of folders", atomic, "fsync_dir", _nothing, "power"),
    Bug("no fsync of files that were moved", atomic, "fsync_path", _nothing, "power"),
    Bug("small files are appended to in place", atomic, "write_file", _append, "deaths"),
    Bug("short writes are not gone on with", atomic, "write_all", _write_half, "fair"),
    Bug("a twin is left running", Watch, "_end_twin", _done, "twins"),
    Bug(
        "a lost ledger is not looked for: neither mark nor window",
        WorkFolder,
        "sent",
        _no,
        "ledger lost",
        (Bug("no window after a cut", Evidence, "may_create", _true, "ledger lost"),),
    ),
    Bug("what failed is not planned again", planning, "_generations", _only_the_first, "jobs fail"),
    Bug("results are not checked against their number", publish, "conclude", _nothing, "fair"),
)
