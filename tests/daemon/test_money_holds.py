"""When the hold of a set by a cap on cost is judged anew."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.config.options import choose
from orchestrator.config.settings import load
from orchestrator.daemon.money import Price, Purse
from orchestrator.daemon.money_holds import MoneyHolds
from orchestrator.domain.caps import next_day
from orchestrator.domain.options import to_text
from orchestrator.domain.request_sets import Flags
from orchestrator.store import request_sets
from orchestrator.store.database import InlineDatabase
from orchestrator.store.journal import Journal
from tests.store.conftest import MIGRATIONS
from tests.store.values import NOW, planned, set_info, start

MODEL = {"ORCHESTRATOR_PROFILES__DEFAULT__MODEL": "gemini-2.5-flash"}
MIDNIGHT = next_day(NOW)
DEAR, CHEAP = Price(10**9, 10**9, 10**9), Price(1, 1, 1)


class Night(Exception):
    """The test has seen enough."""


class Clock:
    """Jumps ahead by what is slept; prices fall at the first sleep, and all ends after a day."""

    def __init__(self, prices):
        self.prices, self.time = prices, NOW

    def now(self):
        return self.time

    async def sleep(self, duration: timedelta):
        self.prices["gemini-2.5-flash"] = CHEAP
        self.time += duration
        if self.time > MIDNIGHT + timedelta(hours=1):
            raise Night


@pytest.mark.parametrize(
    ("held", "until", "goes_on_at"),
    [
        ("max_cost_per_day: $0.50 spent", MIDNIGHT, MIDNIGHT),
        ("max_cost_per_day: no day has room", None, MIDNIGHT),
        ("max_cost_per_set: $0.50 spent", None, None),
        ("crashed: plan failed", None, None),
    ],
)
async def test_only_what_a_day_holds_is_judged_at_midnight(
    tmp_path: Path, held, until, goes_on_at
) -> None:
    """It goes on then if the day has room; what the operator must see to is left to them."""
    ledger = await InlineDatabase.open(
        f"sqlite:///{tmp_path / 'ledger.db'}", migrations=MIGRATIONS, now=NOW
    )
    info = set_info(options=to_text(choose(load(None, MODEL), "", None)))
    flags = Flags(held=held, held_until=until)
    await ledger.transact(start, info, planned(of=info))
    await ledger.transact(request_sets.flag, NOW, info.id, Flags(), flags, "held")
    prices = {"gemini-2.5-flash": DEAR}
    clock: Any = Clock(prices)
    cap = 1_000 if "day" in held else None
    purse = Purse(prices, cap, None if cap else 1_000)

    with pytest.raises(Night):
        await MoneyHolds(Journal(ledger, clock, 1), clock, purse).run()

    stored = await ledger.read(request_sets.get, info.id)
    assert stored is not None
    assert (stored.flags.held is None) == (goes_on_at is not None)
    if goes_on_at is not None:
        assert stored.updated_at == goes_on_at
    await ledger.close()
