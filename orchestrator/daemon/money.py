"""What batches cost, and the caps that hold them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.batches import Part, Usage
from orchestrator.domain.ids import SetId
from orchestrator.domain.options import from_text
from orchestrator.store import batches as batch_rows, projects, questions, request_sets
from orchestrator.store.database import Tx

OUTPUT_RATIO = 1.0  # answers as long as their prompts, until the set has taught better


@dataclass(frozen=True, slots=True)
class Price:
    """Millionths of a US dollar per million tokens, in batch mode."""

    prompt: int
    candidates: int
    cached: int


@dataclass(frozen=True, slots=True)
class Purse:
    """Prices and caps. Caps are in millionths of a US dollar, None for none."""

    prices: Mapping[str, Price]
    day_max: int | None

    def cost(self, model: str, usage: Usage) -> int | None:
        """Return what usage costs, None if the model has no price."""
        price = self.prices.get(model)
        if price is None:
            return None
        fresh = max(usage.prompt - usage.cached, 0)
        answers = usage.candidates + usage.thoughts
        whole = fresh * price.prompt + usage.cached * price.cached + answers * price.candidates
        return -(-whole // 1_000_000)

    def estimate(self, part: Part, used: Usage) -> int | None:
        """Return what a batch will probably cost, learning from what its set used so far."""
        ratio = OUTPUT_RATIO
        if used.prompt:
            ratio = (used.candidates + used.thoughts) / used.prompt
        answers = 0 if part.kind == "embed" else int(part.tokens * ratio)
        return self.cost(part.model, Usage(prompt=part.tokens, candidates=answers))


def obstacle(tx: Tx, now: datetime, purse: Purse, part: Part) -> str | None:
    """Tell which cap this batch would break, with what is in flight counted as spent."""
    stored = request_sets.get(tx, part.request_set)
    assert stored is not None, f"{part.token} has no set"
    cap = from_text(stored.value.info.options).cost_max_micros
    if stored.flags.cap_lifted or (cap is None and purse.day_max is None):
        return None
    used = Usage()
    for one in batch_rows.usage_of_set(tx, part.request_set):
        used += one.usage
    estimate = purse.estimate(part, used)
    if estimate is None:
        return (
            f'max_cost: no price is set for {part.model}; add [pricing."{part.model}"], '
            "or `orchestrator resume` the set to run it without a cap"
        )
    for name, limit, set_id in (
        ("max_cost_per_set", cap, part.request_set),
        ("max_cost_per_day", purse.day_max, None),
    ):
        if limit is None:
            continue
        spent = _spent(tx, now, set_id) + _in_flight(tx, purse, used, set_id)
        if spent + estimate > limit:
            return (
                f"{name}: {_usd(spent)} spent or in flight, this batch about {_usd(estimate)}, "
                f"the cap is {_usd(limit)}; `orchestrator resume` goes on beyond it"
            )
    return None


def _spent(tx: Tx, now: datetime, set_id: SetId | None) -> int:
    if set_id is not None:
        return projects.spend_of_set(tx, set_id)
    return projects.spend(tx, now.replace(hour=0, minute=0, second=0, microsecond=0))


def _in_flight(tx: Tx, purse: Purse, used: Usage, set_id: SetId | None) -> int:
    parts = questions.in_flight(tx, set_id)
    return sum(purse.estimate(part, used) or 0 for part in parts)


def _usd(micros: int) -> str:
    return f"${micros / 1_000_000:.2f}"
