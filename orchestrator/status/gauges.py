"""The gauges, read from the board whenever somebody asks for the metrics."""

from collections import Counter
from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from orchestrator.ports import Clock
from orchestrator.status.board import Board
from orchestrator.status.figures import seconds_between
from orchestrator.status.glance import queues, service_state
from orchestrator.status.views import BatchCounts

STATES = ("starting", "running", "degraded", "blocked", "stopping")
MODELS_MAX = 20
OTHER = "other"
NOT_LIVE = frozenset({"collected", "lapsed", "in_doubt"})
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
        board, sums = self._board, self._board.sums
        yield _labelled("queue", "What waits for each stage.", "queue", queues(board).model_dump())
        shown = sums.sets.model_dump()
        yield _labelled("sets", "Sets by what is shown of them.", "state", shown)
        states = {word: 0 for word in BatchCounts.model_fields if word not in NOT_LIVE}
        states.update(sums.states)
        yield _labelled("batches", "Live batches by state.", "state", states)
        yield _labelled("in_doubt", "Creates without a known outcome.", "doubt", sums.doubts)
        yield _one("requests_open", "Requests of accepted sets without a final line.", sums.open)
        read = sum(total - done for done, total in board.reading.values())
        yield _one("reading_bytes", "Bytes of drops that are still to be read.", read)
        yield _one("unsent_bytes", "Bytes of batches that were not submitted.", sums.unsent_bytes)
        yield _one("stray_jobs", "Jobs with our prefix that nobody knows.", board.strays)

    def _ages(self) -> Iterable[GaugeMetricFamily]:
        sums, now = self._board.sums, self._clock.now()
        for name, meaning, since in (
            ("oldest_job_age_seconds", "Of the oldest job; the target is a day.", sums.oldest_job),
            ("oldest_doubt_age_seconds", "Of the oldest unknown outcome.", sums.oldest_doubt),
            ("oldest_set_age_seconds", "Of the oldest set that is running.", sums.oldest_set),
        ):
            yield _one(name, meaning, seconds_between(since or now, now))
        board = self._board
        looked = board.looked.at if board.looked else board.started_at
        meaning = "Since the last complete look at the jobs, or the start."
        yield _one("last_scan_age_seconds", meaning, seconds_between(looked, now))

    def _projects(self) -> Iterable[GaugeMetricFamily]:
        board, sums = self._board, self._board.sums
        known = board.projects.values()
        active = {str(project.name): sums.jobs[project.name] for project in known}
        yield _labelled("project_jobs", "Jobs at the provider.", "project", active)
        most = {str(project.name): project.active_jobs_max for project in known}
        yield _labelled("project_jobs_max", "Jobs that may be at once.", "project", most)
        blocked = {str(project.name): int(project.why is not None) for project in known}
        yield _labelled("project_blocked", "1 while it takes nothing.", "project", blocked)
        tokens: Counter[str] = Counter()
        for (_, model), count in sums.tokens.items():
            tokens[model if model in tokens or len(tokens) < MODELS_MAX else OTHER] += count
        yield _labelled("enqueued_tokens", "Estimated tokens in jobs.", "model", tokens)
        if board.money.today is not None:
            today = board.money.today / 1_000_000
            yield _one("spent_today_usd", "What was spent since midnight UTC.", today)


def _one(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"orchestrator_{name}", meaning, value=value)


def _labelled(
    name: str, meaning: str, label: str, values: Mapping[str, float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"orchestrator_{name}", meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
