"""The one list of events and of the keys that each may have.

Whoever logs writes the name as a constant; a test holds this list and the code together.
"""

from collections.abc import Mapping

BATCH = frozenset({"set", "batch", "serial", "generation", "requests", "bytes", "why"})
SET = frozenset({"set", "name", "why"})

# Every event, and which keys it may have.
EVENTS: Mapping[str, frozenset[str]] = {
    # the process
    "daemon.started": frozenset({"version", "pid", "epoch", "state_dir", "base_url", "clean"}),
    "daemon.ready": frozenset({"inbox", "socket", "sets"}),
    "daemon.stopping": frozenset({"signal", "reason"}),
    "daemon.stopped": frozenset({"seconds"}),
    "daemon.crashed": frozenset({"reason"}),
    "daemon.degraded": frozenset({"condition", "subject", "why", "remedy"}),
    "daemon.recovered": frozenset({"condition", "subject"}),
    "settings.read": frozenset({"file", "profiles"}),
    "settings.refused": frozenset({"why"}),
    "settings.questioned": frozenset({"why"}),
    "ledger.migrated": frozenset({"source", "target", "backup"}),
    "library.logged": frozenset({"logger", "message"}),
    # sets
    "set.received": SET | {"requests", "flawed", "bytes", "model", "kind", "profile", "outbox"},
    "set.indexed": SET,
    "set.rejected": SET,
    "set.started": SET,
    "set.changed": SET,
    "set.delivered": SET | {"answered", "failed", "outbox"},
    "set.reopened": SET,
    "set.cancelled": SET | {"answered", "failed", "outbox"},
    "set.held": SET,
    "set.released": SET,
    "set.paused": SET,
    "set.resumed": SET,
    # batches
    "batch.planned": BATCH | {"mode", "tokens"},
    "batch.renewed": BATCH | {"upload"},
    "batch.uploaded": BATCH | {"file"},
    "batch.postponed": BATCH | {"file"},
    "batch.forgotten": BATCH | {"upload"},
    "batch.intended": BATCH | {"doubt"},
    "batch.withdrawn": BATCH | {"upload", "file"},
    "batch.questioned": BATCH | {"doubt"},
    "batch.submitted": BATCH | {"job"},
    "batch.refused": BATCH | {"reason"},
    "batch.excluded": BATCH | {"reason"},
    "batch.ended": BATCH | {"job", "outcome"},
    "batch.vanished": BATCH | {"reason"},
    "batch.collected": BATCH
    | {"job", "outcome", "answered", "failed", "retryable", "missing", "given_up"},
    "batch.lapsed": BATCH | {"reason"},
    "batch.dropped": BATCH | {"reason"},
    # the provider
    "project.blocked": frozenset({"project", "why", "remedy"}),
    "project.unblocked": frozenset({"project"}),
    "limit.halved": frozenset({"project", "model", "tokens"}),
    "job.strayed": frozenset({"job", "display_name", "state"}),
    "job.twinned": frozenset({"job", "batch", "state"}),
    "incident.booked": frozenset({"kind", "batch", "why", "requests", "cost"}),
    "call.failed": frozenset({"call", "why", "retry_seconds", "set", "batch"}),
    # the stages and their surroundings
    "stage.failed": frozenset({"stage", "item", "why", "failures"}),
    "stage.stale": frozenset({"stage", "item"}),
    "worker.lost": frozenset({"why", "attempt"}),
    "notice.sent": frozenset({"kind", "set", "to"}),
    "notice.failed": frozenset({"kind", "set", "to", "why", "retry_seconds"}),
    "socket.opened": frozenset({"socket", "mode", "group"}),
    "socket.connected": frozenset({"pid", "uid"}),
    "socket.ordered": frozenset({"verb", "set", "pid", "uid", "outcome"}),
    "socket.failed": frozenset({"route"}),
    "retention.removed": frozenset({"what", "set", "bytes"}),
}
