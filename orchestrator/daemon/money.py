"""What batches cost, and the caps that hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from orchestrator.domain.batches import Part, Usage
from orchestrator.domain.ids import IdempotencyKey, SetId
from orchestrator.domain.options import from_text
from orchestrator.store import batches as batch_rows, projects, questions, request_sets
from orchestrator.store.database import Tx

OUTPUT_RATIO = 1.0  # answers as long as their prompts, until the model or the set has taught better


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


def unmeasured(tx: Tx, purse: Purse, parts: Sequence[Part]) -> frozenset[IdempotencyKey]:
    """Return those batches of which a first one of their model must tell what answers cost.

    A cap is set, no answer of the model was ever counted (and thoughts may be many times the
    prompt), and a batch of it is under way: estimates of more would be guesses upon a guess.
    """
    capped = {name for name in {part.request_set for part in parts} if _is_capped(tx, purse, name)}
    risky = [part for part in parts if part.request_set in capped and part.kind == "generate"]
    if not risky:
        return frozenset()
    busy = {part.model for part in questions.in_flight(tx, None)}
    models = busy & {part.model for part in risky}
    unknown = {name for name in models if not batch_rows.usage_of_model(tx, name).prompt}
    return frozenset(part.token for part in risky if part.model in unknown)


def _is_capped(tx: Tx, purse: Purse, set_id: SetId) -> bool:
    stored = request_sets.get(tx, set_id)
    assert stored is not None, f"{set_id} is not in the ledger"
    cap = from_text(stored.value.info.options).cost_max_micros
    return not stored.flags.cap_lifted and (cap is not None or purse.day_max is not None)


def obstacle(tx: Tx, now: datetime, purse: Purse, part: Part) -> str | None:
    """Tell which cap this batch would break, with what is in flight counted as spent."""
    stored = request_sets.get(tx, part.request_set)
    assert stored is not None, f"{part.token} has no set"
    cap = from_text(stored.value.info.options).cost_max_micros
    if stored.flags.cap_lifted or (cap is None and purse.day_max is None):
        return None
    lessons = Lessons(tx)
    estimate = purse.estimate(part, *lessons.of(part))
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
        spent = _spent(tx, now, set_id) + _in_flight(tx, purse, lessons, set_id)
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


def _in_flight(tx: Tx, purse: Purse, lessons: Lessons, set_id: SetId | None) -> int:
    parts = questions.in_flight(tx, set_id)
    return sum(purse.estimate(part, *lessons.of(part)) or 0 for part in parts)


def _usd(micros: int) -> str:
    return f"${micros / 1_000_000:.2f}"
