"""Everything that is measured, in one registry of its own: Prometheus text on `/metrics`.

Counters and latencies are told by the callbacks below as things happen; gauges are read from the
board when somebody asks. Every label has a bounded set of values: no names, ids or messages.
"""

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from orchestrator.domain.batches import BATCH_EDGES, LapseReason, Tally, Usage
from orchestrator.domain.request_sets import SET_EDGES

HOURS = tuple(3600.0 * hours for hours in (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 12, 18, 24, 36, 48))
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
WAITS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
OUTCOMES = frozenset({"succeeded", "failed", "cancelled", "expired", "unspecified"})
STATUSES_MAX = 40
OTHER = "other"


class Metrics:
    """The registry and the ways to tell it something."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        counter, histogram = self._counter, self._histogram
        self._moves = counter("moves", "Steps of a machine.", "machine", "source", "target")
        self._requests = counter("requests_settled", "Requests by what became of them.", "outcome")
        self._retries = counter("requests_retried", "Requests given back to the pool.", "reason")
        self._lapses = counter("batches_lapsed", "Batches without an answer.", "reason")
        self._tokens = counter("tokens", "Tokens as the service counted them.", "kind")
        self._cost = counter("cost_usd", "What the answers cost, where a price is known.")
        self._bytes = counter("bytes", "Bytes moved.", "direction")
        self._notices = counter("notifications", "Notifications tried.", "channel", "result")
        self._asked = counter("status_requests", "Requests to the status socket.", "route", "code")
        self._calls = counter("api_calls", "Calls to the provider.", "call", "status")
        self._call = histogram("api_call_seconds", "How long calls took.", SECONDS, "call")
        self._submit = histogram("drop_to_submit_seconds", "From a drop to its first job.", WAITS)
        self._listed = histogram("create_to_list_seconds", "From a create to the list.", WAITS)
        self._job = histogram(
            "job_seconds", "From a job's submission to its end.", HOURS, "outcome"
        )
        self._collect = histogram("collect_seconds", "From a job's end to its answers.", WAITS)
        self._deliver = histogram("drop_to_delivery_seconds", "From a drop to its results.", HOURS)
        self._statuses: set[str] = set()
        for reason in LapseReason:  # so that the first one is an increase, and none is no gap
            self._lapses.labels(reason.value)
        for machine, edges in (("batch", BATCH_EDGES), ("set", SET_EDGES)):
            for source, target in edges:
                self._moves.labels(machine, source, target)
        for outcome in ("answered", "failed", "given_up"):
            self._requests.labels(outcome)
        self._lag = histogram("event_loop_lag_seconds", "How late the event loop is.", LAGS)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"orchestrator_{name}", meaning, labels, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"orchestrator_{name}", meaning, labels, registry=self.registry, buckets=buckets
        )

    def text(self) -> bytes:
        """Return everything in the Prometheus text format."""
        return generate_latest(self.registry)

    # ---- told by whoever did it ----------------------------------------------------------------

    def called(self, call: str, status: int | str, seconds: float) -> None:
        """Count a call to the provider; `status` is the HTTP status or the name of a failure."""
        label = str(status)
        if label not in self._statuses and len(self._statuses) >= STATUSES_MAX:
            label = OTHER
        self._statuses.add(label)
        self._calls.labels(call, label).inc()
        self._call.labels(call).observe(seconds)

    def moved_bytes(self, direction: str, count: int) -> None:
        """Count bytes: "read", "uploaded", "downloaded" or "delivered"."""
        self._bytes.labels(direction).inc(count)

    def notified(self, channel: str, result: str) -> None:
        """Count a notification: channel "command" or "webhook", result "sent" or "failed"."""
        self._notices.labels(channel, result).inc()

    def asked(self, route: str, code: int) -> None:
        """Count a request to the status socket; `route` is the pattern, never the path."""
        self._asked.labels(route, str(code)).inc()

    def listed(self, seconds: float) -> None:
        """Record how long after its create a job was first seen in the list."""
        self._listed.observe(max(0.0, seconds))

    def lagged(self, seconds: float) -> None:
        """Record how late the event loop was."""
        self._lag.observe(seconds)

    # ---- told by the feed, from what was committed -----------------------------------------------

    def moved(self, machine: str, source: str, target: str) -> None:
        """Count a step of a batch or a set."""
        self._moves.labels(machine, source or "none", target).inc()

    def submitted_first(self, seconds: float) -> None:
        """Record how long a drop waited for its first job."""
        self._submit.observe(max(0.0, seconds))

    def ended(self, outcome: str, seconds: float) -> None:
        """Record how long a job took."""
        label = outcome if outcome in OUTCOMES else OTHER
        self._job.labels(label).observe(max(0.0, seconds))

    def collected(self, tally: Tally, usage: Usage, cost: int | None, seconds: float) -> None:
        """Count the answers of a batch; `cost` is in micro-dollars."""
        self._requests.labels("answered").inc(tally.answered)
        self._requests.labels("failed").inc(tally.failed)
        self._requests.labels("given_up").inc(tally.given_up)
        self._retries.labels("retryable").inc(tally.retryable)
        self._retries.labels("missing").inc(tally.missing)
        self._tokens.labels("prompt").inc(usage.prompt)
        self._tokens.labels("cached").inc(usage.cached)
        self._tokens.labels("candidates").inc(usage.candidates)
        self._tokens.labels("thoughts").inc(usage.thoughts)
        self._cost.inc((cost or 0) / 1_000_000)
        self._collect.observe(max(0.0, seconds))

    def lapsed(self, reason: str, requests: int) -> None:
        """Count a batch that ended without answers and the requests that it gave back."""
        self._lapses.labels(reason).inc()
        self._retries.labels(reason).inc(requests)

    def delivered(self, seconds: float) -> None:
        """Record how long a drop took until its results were there."""
        self._deliver.observe(max(0.0, seconds))


Observe = Callable[[str, int | str, float], None]
"""What the provider's client tells of each call: its name, its status and its seconds."""
