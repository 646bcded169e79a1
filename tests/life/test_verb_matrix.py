"""Every verb in every state of a set: done, done already, or refused with what to do next."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.config.options import choose
from orchestrator.config.settings import load
from orchestrator.domain import request_sets as sets
from orchestrator.domain.batches import Submitted
from orchestrator.domain.caps import next_day
from orchestrator.domain.ids import SetId
from orchestrator.domain.jobs import Gone
from orchestrator.domain.options import to_text
from orchestrator.domain.policy import Limits
from orchestrator.domain.request_sets import Flags, Received, Running, SetInfo, Totals
from orchestrator.stages.control import Control, NotPossible
from orchestrator.store import request_sets as set_rows
from orchestrator.store.database import InlineDatabase, Tx
from orchestrator.store.journal import Journal
from orchestrator.store.transitions import apply
from tests.store.conftest import MIGRATIONS
from tests.store.values import (
    NOW,
    collect_all,
    path_to_collected,
    planned,
    receive,
    set_info,
    start,
)

MODEL = {"ORCHESTRATOR_PROFILES__DEFAULT__MODEL": "gemini-2.5-flash"}
TOTALS = Totals(1_000, 0)
OVER = "nothing is left to be done"
WAIT = "wait for its end"
CANCELLING = f"is being cancelled; {WAIT}"


class World:
    """All that orders reach beside the ledger: a folder with three failures, no job any more."""

    def __init__(self) -> None:
        self.evidence = SimpleNamespace(forget=lambda _job: None)

    def now(self):
        return NOW

    def elapsed(self):
        return 0.0

    def limits(self):
        return Limits()

    def look_at(self, when):
        pass

    async def reopen(self, folder):
        return 3

    async def open_count(self, folder):
        return 3

    async def release(self, folder, part, last, code, told):
        return 0

    async def look(self, job):
        return Gone()


def queued(tx: Tx, info: SetInfo) -> None:
    receive(tx, info)
    apply(tx, NOW, sets.index(Received(info)))


def running(flags: Flags) -> Callable[[Tx, SetInfo], None]:
    def lay(tx: Tx, info: SetInfo) -> None:
        start(tx, info, planned(of=info))
        if flags != Flags():
            set_rows.flag(tx, NOW, info.id, Flags(), flags, "laid")

    return lay


def vanished(tx: Tx, info: SetInfo) -> None:
    running(Flags(held="vanished: the service no longer knows it"))(tx, info)
    moves = path_to_collected(planned(of=info))
    apply(tx, NOW, *moves[: [isinstance(one.after, Submitted) for one in moves].index(True) + 1])


def delivered(tx: Tx, info: SetInfo) -> None:
    start(tx, info, planned(of=info))
    collect_all(tx, planned(of=info))
    apply(tx, NOW, sets.deliver(Running(info, 2_000_000_000), TOTALS, "5" * 64, NOW))


def reopened(tx: Tx, info: SetInfo) -> None:
    delivered(tx, info)
    value = sets.Delivered(info, NOW, TOTALS, "5" * 64)
    apply(tx, NOW, sets.reopen(value, f"{info.outbox}-again", 2_000_000_000))


def rejected(tx: Tx, info: SetInfo) -> None:
    receive(tx, info)
    apply(tx, NOW, sets.reject(Received(info), "empty", NOW))


def cancelled(held: str | None) -> Callable[[Tx, SetInfo], None]:
    def lay(tx: Tx, info: SetInfo) -> None:
        receive(tx, info)
        if held is not None:
            set_rows.flag(tx, NOW, info.id, Flags(), Flags(cancel_asked=True, held=held), "laid")
        apply(tx, NOW, sets.cancel(Received(info), TOTALS, "5" * 64, NOW))

    return lay


STATES = {
    "reading": receive,
    "queued": queued,
    "running": running(Flags()),
    "paused": running(Flags(paused=True)),
    "crashed": running(Flags(held="crashed: plan failed 3 times")),
    "short": running(Flags(held="short_answers: its output has 2 lines")),
    "over its cap": running(Flags(held="max_cost_per_set: $5.00 spent")),
    "over the day's": running(Flags(held="max_cost_per_day: $5.00", held_until=next_day(NOW))),
    "without a price": running(Flags(held="max_cost: no price is set for it")),
    "vanished": vanished,
    "cancelling": running(Flags(cancel_asked=True)),
    "delivered": delivered,
    "reopened": reopened,
    "rejected": rejected,
    "cancelled": cancelled(None),
    "cancelled after a crash": cancelled("crashed: plan failed 3 times"),
    "cancelled over its cap": cancelled("max_cost_per_set: $5.00 spent; `orchestrator resume`"),
}
WAS_CANCELLED = tuple(name for name in STATES if name.startswith("cancelled"))
OPEN = frozenset(STATES) - {"cancelling", "delivered", "rejected", *WAS_CANCELLED}
STOPPED = ("paused", "crashed", "over its cap", "over the day's", "without a price")
FINISHED = {
    "delivered": f"no: is delivered; {OVER}",
    "rejected": f"no: is rejected; {OVER}",
    **dict.fromkeys(WAS_CANCELLED, f"no: is cancelled; {OVER}"),
}
STILL_HELD = "but it is held: max_cost_per_set: $5.00 spent; `orchestrator resume`"

# What the first order says, and what the same order says at once after it; `no:` is refused.
SAID: dict[str, dict[str, tuple[str, str] | str]] = {
    "cancel": {
        **dict.fromkeys(OPEN, ("cancelling: its jobs", "is being cancelled already")),
        "cancelling": "is being cancelled already",
        **FINISHED,
        **dict.fromkeys(WAS_CANCELLED, "is cancelled already"),
    },
    "pause": {
        **dict.fromkeys(OPEN, ("paused: nothing new is started", "is paused already")),
        "paused": "is paused already",
        "cancelling": f"no: {CANCELLING}",
        **FINISHED,
    },
    "resume": {
        **dict.fromkeys(OPEN, "is running already"),
        **dict.fromkeys(
            ("paused", "crashed", "short", "vanished"), ("running again", "is running already")
        ),
        "over its cap": ("it has no cap of its own any more", "is running already"),
        "over the day's": ("it may go beyond max_cost_per_day until", "is running already"),
        "without a price": ("it runs without a price", "is running already"),
        "cancelling": f"no: {CANCELLING}",
        **FINISHED,
    },
    "retry": {
        "reading": f"no: is received; {WAIT}",
        "queued": f"no: is indexed; {WAIT}",
        "running": f"no: is running; {WAIT}",
        **dict.fromkeys(STOPPED, "no: is running; `resume` goes on with it"),
        "vanished": ("1 vanished job is given up", "were given up already"),
        "short": ("outputs are taken as they are", "are taken as they are already"),
        "cancelling": f"no: {CANCELLING}",
        "delivered": ("3 requests are sent again", "is being sent again already"),
        "reopened": "is being sent again already",
        "rejected": "no: is rejected; nothing of it was sent; correct it and drop it again",
        **dict.fromkeys(
            WAS_CANCELLED, ("3 requests are sent again", "is being sent again already")
        ),
        "cancelled over its cap": (STILL_HELD, STILL_HELD),
    },
    "delete_remote": {
        **dict.fromkeys((*OPEN, "cancelling"), "no: is not finished; cancel it first, or wait"),
        **dict.fromkeys(FINISHED, "nothing of it is left at the service"),
    },
}


@pytest.mark.parametrize("verb", SAID)
async def test_every_verb_in_every_state(verb: str, tmp_path: Path) -> None:
    """Said twice, a verb does once what it says; a refusal says what to do and changes nothing."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    options = to_text(choose(load(None, MODEL), "", None))
    ledger = await InlineDatabase.open(url, migrations=MIGRATIONS, now=NOW)
    world: Any = World()
    control = Control(Journal(ledger, world, 1), world, world, world, world, world)
    assert SAID[verb].keys() == STATES.keys()

    for state, lay in STATES.items():
        info = set_info(state.replace(" ", "-"), options=options)
        await ledger.transact(lay, info)
        wanted = SAID[verb][state]
        for words in (wanted, wanted) if isinstance(wanted, str) else wanted:
            before = await ledger.read(set_rows.get, info.id)
            said = await order(control, verb, info.id)
            assert words.removeprefix("no: ") in said, (verb, state)
            assert said.startswith("no: ") == words.startswith("no: "), (verb, state)
            if not isinstance(wanted, tuple):
                assert await ledger.read(set_rows.get, info.id) == before

    await ledger.close()


async def order(control: Control, verb: str, set_id: SetId) -> str:
    """Give an order and return what it says, or after `no: ` why it cannot be done."""
    try:
        return str(await getattr(control, verb)(set_id))
    except NotPossible as error:
        return f"no: {error}"
