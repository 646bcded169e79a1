"""What batches cost, by the prices of the settings and by what answers have taught."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.domain.batches import Part, Usage
from orchestrator.domain.ids import SetId
from orchestrator.store import batches as batch_rows
from orchestrator.store.database import Tx

OUTPUT_RATIO = 1.0  # answers as long as their prompts, until the model or the set has taught better
# The answers to like prompts differ, by about so many times their mean when there is but one.
SPREAD = 2.0


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a US dollar per million tokens, in batch mode."""

    prompt: int
    candidates: int
    cached: int


@dataclass(frozen=True, slots=True)
class Purse:
    """Prices and caps of the settings. Caps are in millionths of a US dollar, None for none.

    `profile_max` are the caps of sets of those profiles that say one, `set_max` of all others.
    """

    prices: Mapping[str, Price]
    day_max: int | None
    set_max: int | None = None
    profile_max: Mapping[str, int] = field(default_factory=dict)

    def cap_of(self, profile: str) -> int | None:
        """Return what a set of a profile may cost, unless its own options say it."""
        return self.profile_max.get(profile, self.set_max)

    def cost(self, model: str, usage: Usage) -> int | None:
        """Return what usage costs, None if the model has no price."""
        price = self.prices.get(model)
        if price is None:
            return None
        fresh = max(usage.prompt - usage.cached, 0)
        answers = usage.candidates + usage.thoughts
        whole = fresh * price.prompt + usage.cached * price.cached + answers * price.candidates
        return -(-whole // 1_000_000)

    def estimate(self, part: Part, *used: Usage) -> int | None:
        """Return what a batch will probably cost; the first of `used` that knows answers tells."""
        ratio = next(
            ((one.candidates + one.thoughts) / one.prompt for one in used if one.prompt),
            OUTPUT_RATIO,
        )
        answers = 0 if part.kind == "embed" else int(part.tokens * ratio)
        return self.cost(part.model, Usage(prompt=part.tokens, candidates=answers))


class Lessons:
    """What was used so far, asked of the ledger once for each set and each model."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._sets: dict[tuple[SetId, str], Usage] = {}
        self._models: dict[str, Usage] = {}
        self._margins: dict[tuple[SetId, str], float] = {}

    def of(self, part: Part) -> tuple[Usage, Usage]:
        """Return what the part's set and then what all sets used of its model."""
        name, model = part.request_set, part.model
        if (name, model) not in self._sets:
            spent = batch_rows.usage_of_set(self._tx, name)
            mine = (one.usage for one in spent if one.model == model)
            self._sets[name, model] = sum(mine, Usage())
        if model not in self._models:
            self._models[model] = batch_rows.usage_of_model(self._tx, model)
        return self._sets[name, model], self._models[model]

    def margin(self, part: Part) -> float:
        """Return how many times its estimate a batch may cost: few answers have told little."""
        name, model = part.request_set, part.model
        if (name, model) not in self._margins:
            tx = self._tx
            counted = batch_rows.answers_counted(tx, model, name)
            counted = counted or batch_rows.answers_counted(tx, model, None)
            self._margins[name, model] = 1 + SPREAD / math.sqrt(max(counted, 1))
        return 1.0 if part.kind == "embed" else self._margins[name, model]
