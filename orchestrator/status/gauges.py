"""The gauges, read from the board whenever somebody asks for the metrics."""

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.domain.batches import Submitted, Submitting
from orchestrator.ports import Clock
from orchestrator.status.batches_shown import is_doubtful
from orchestrator.status.board import Board
from orchestrator.status.figures import seconds_between
from orchestrator.status.glance import queues, service_state, set_counts
from orchestrator.status.sets_shown import outcome
from orchestrator.status.views import BatchCounts

STATES = ("starting", "running", "degraded", "blocked", "stopping")
MODELS_MAX = 20
OTHER = "other"
# From the start, so that the first incident of a kind is an increase.
NO_INCIDENTS = {"paid_twice_suspected": 0, "weak_evidence": 0, "stray": 0}


class BoardGauges(Collector):
    """Reads the board. Batches are counted while they live; what became of them is counters."""

    def __init__(self, board: Board, clock: Clock) -> None:
        self._board = board
        self._clock = clock

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """Return every gauge as of now."""
        yield from self._service()
        yield from self._work()
        yield from self._ages()
        yield from self._projects()

    def _service(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        board, now = self._board, self._clock.now()
        state = service_state(board)
        yield _labelled("info", "The version that runs.", "version", {board.version: 1})
        yield _one("start_time_seconds", "When it started.", board.started_at.timestamp())
        yield _one("uptime_seconds", "How long it runs.", seconds_between(board.started_at, now))
        words = {word: int(word == state) for word in STATES}
        yield _labelled("state", "1 for the state that it is in.", "state", words)
        yield _one("ready", "1 while it does its work.", int(board.ready))
        kinds = Counter(condition.kind for condition in board.conditions)
        yield _labelled("conditions", "What is wrong, by kind.", "kind", kinds)
        if board.free_bytes is not None:
            yield _one("free_bytes", "Free space of the state directory.", board.free_bytes)
        incidents = CounterMetricFamily(
            "orchestrator_incidents", "What went wrong and may have cost money.", labels=["kind"]
        )
        for kind, count in {**NO_INCIDENTS, **board.incidents}.items():
            incidents.add_metric([kind], count)
        yield incidents

    def _work(self) -> Iterable[GaugeMetricFamily]:
        board = self._board
        live = tuple(board.live)
        depth = queues(board, live).model_dump()
        yield _labelled("queue", "What waits for each stage.", "queue", depth)
        shown = set_counts(board).model_dump()
        yield _labelled("sets", "Sets by what is shown of them.", "state", shown)
        states = {word: 0 for word in BatchCounts.model_fields if word not in _NOT_LIVE}
        states.update(Counter(batch.state for batch in live))
        yield _labelled("batches", "Live batches by state.", "state", states)
        doubt = Counter[str](b.doubt for b in live if isinstance(b, Submitting))
        yield _labelled("in_doubt", "Creates without a known outcome.", "doubt", doubt)
        going = [of for of in board.folds if of.value.state in {"indexed", "running"}]
        requests = sum(of.value.info.requests - sum(outcome(of)) for of in going)
        yield _one("requests_open", "Requests of accepted sets without a final line.", requests)
        read = sum(total - done for done, total in board.reading.values())
        yield _one("reading_bytes", "Bytes of drops that are still to be read.", read)
        unsent = sum(b.part.wire_bytes for b in live if b.state in {"planned", "uploaded"})
        yield _one("unsent_bytes", "Bytes of batches that were not submitted.", unsent)
        yield _one("stray_jobs", "Jobs with our prefix that nobody knows.", board.strays)

    def _ages(self) -> Iterable[GaugeMetricFamily]:
        board, now = self._board, self._clock.now()
        live = tuple(board.live)
        jobs = [b.submitted_at for b in live if isinstance(b, Submitted)]
        doubts = [b.intended_at for b in live if isinstance(b, Submitting) and is_doubtful(b)]
        sets = [of.value.info.received_at for of in board.folds if of.value.state == "running"]
        for name, meaning, times in (
            ("oldest_job_age_seconds", "Age of the oldest job; the target is a day.", jobs),
            ("oldest_doubt_age_seconds", "Age of the oldest unknown outcome.", doubts),
            ("oldest_set_age_seconds", "Age of the oldest set that is running.", sets),
        ):
            yield _one(name, meaning, seconds_between(min(times, default=now), now))
        if board.looked is not None:
            age = seconds_between(board.looked.at, now)
            yield _one("last_scan_age_seconds", "Since the last complete look at the jobs.", age)

    def _projects(self) -> Iterable[GaugeMetricFamily]:
        board = self._board
        jobs = [batch for batch in board.live if isinstance(batch, Submitted)]
        projects = board.projects.values()
        active = Counter(batch.part.project for batch in jobs)
        yield _labelled(
            "project_jobs",
            "Jobs at the provider.",
            "project",
            {project.name: active[project.name] for project in projects},
        )
        yield _labelled(
            "project_jobs_max",
            "Jobs that may be at once.",
            "project",
            {project.name: project.active_jobs_max for project in projects},
        )
        yield _labelled(
            "project_blocked",
            "1 while an account takes nothing.",
            "project",
            {project.name: int(project.why is not None) for project in projects},
        )
        tokens: Counter[str] = Counter()
        for batch in jobs:
            known = batch.part.model in tokens or len(tokens) < MODELS_MAX
            tokens[batch.part.model if known else OTHER] += batch.part.tokens
        yield _labelled("enqueued_tokens", "Estimated tokens in jobs.", "model", tokens)
        if board.money.today is not None:
            today = board.money.today / 1_000_000
            yield _one("spent_today_usd", "What was spent since midnight UTC.", today)


_NOT_LIVE = frozenset({"collected", "lapsed", "in_doubt"})


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"orchestrator_{name}", meaning, value=value)


def _labelled(
    name: str, meaning: str, label: str, values: Mapping[str, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"orchestrator_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
