"""Whether the service has a model for what a set wants: asked once for each model and kind.

Trouble: while the service does not say, sets of the model wait and it is asked again, less and
less often; a service that never says blocks nothing: what cannot be checked goes on and is judged
by its first create.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from orchestrator.domain.batches import Kind
from orchestrator.domain.fitting import Judged, NotYet, Verdict
from orchestrator.domain.policy import RetryPolicy, backoff
from orchestrator.gemini.jobs import CREATE_METHODS
from orchestrator.ports import Clock, Ids, Jobs, ModelInfo, Unavailable

PATIENCE = timedelta(minutes=10)


@dataclass(slots=True)
class _Asked:
    """How often in a row, and since when, nobody answered for a model."""

    since: float
    failures: int = 0
    not_before: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fitting:
    """Asks about models. `report` is told of those that cannot be asked about (None: can again)."""

    jobs: Jobs
    clock: Clock
    ids: Ids
    retry: RetryPolicy
    report: Callable[[str, str, str | None], None]
    known: set[tuple[str, str]] = field(default_factory=set)
    asked: dict[tuple[str, str], _Asked] = field(default_factory=dict)

    async def judge(self, model: str, kind: Kind) -> Verdict:
        """Judge a model; not yet while it is worth waiting for an answer."""
        method = CREATE_METHODS[kind]
        if (model, method) in self.known:
            return Judged()
        before = self.asked.get((model, method))
        if before is not None and self.clock.elapsed() < before.not_before:
            return self._unanswered(model, before)
        try:
            flaw = await self._flaw(model, method)
        except Unavailable as error:
            return self._unanswered(model, self._failed(model, method, error))
        if self.asked.pop((model, method), None) is not None:
            self.report("model_check", model, None)
        return Judged(flaw=flaw)

    async def _flaw(self, model: str, method: str) -> str | None:
        found = await self.jobs.model(model)
        if found is not None and method in found.methods:
            self.known.add((model, method))
            return None
        return _words(model, method, found, await self.jobs.models())

    def _failed(self, model: str, method: str, error: Unavailable) -> _Asked:
        now = self.clock.elapsed()
        asked = self.asked.setdefault((model, method), _Asked(now))
        asked.failures += 1
        wait = backoff(self.retry, asked.failures, self.ids.jitter(), error.retry_after)
        asked.not_before = now + wait.total_seconds()
        asked.why = str(error)
        return asked

    def _unanswered(self, model: str, asked: _Asked) -> Verdict:
        if self.clock.elapsed() - asked.since < PATIENCE.total_seconds():
            return NotYet(asked.not_before)
        why = f"whether {model} can do it cannot be asked ({asked.why}); it goes on unchecked"
        self.report("model_check", model, why)
        return Judged(unchecked=why)


def _words(model: str, method: str, found: ModelInfo | None, all_: Sequence[ModelInfo]) -> str:
    what = f"the service does not know the model {model!r}"
    if found is not None:
        what = f"the model {model!r} has no {method}"
    fit = (one.name.removeprefix("models/") for one in all_ if method in one.methods)
    return f"{what}; set `model` to one that has: {', '.join(sorted(fit)) or 'none is offered'}"
