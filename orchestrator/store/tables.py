"""The tables: a row per set, batch, event and job, never one per request.

The schema is the third wall. What a state needs is demanded here once more, after the types and
the guarded update; what no CHECK can say lies in `walls`.
"""

from typing import get_args

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from orchestrator.domain.batches import BATCH_EDGES, LIVE_STATES, Doubt, Kind, LapseReason, Mode
from orchestrator.domain.jobs import JobState
from orchestrator.domain.request_sets import SET_EDGES
from orchestrator.store.columns import Serial, Time, Words
from orchestrator.store.schema import arrows, check, exactly_in, metadata, one_of, one_where

BATCH_STATES = sorted({state for edge in BATCH_EDGES for state in edge})
SET_STATES = sorted({state for edge in SET_EDGES for state in edge})
ENDED_STATES = sorted(set(BATCH_STATES) - LIVE_STATES)
ROLES = ("ours", "twin", "stray")

request_sets = Table(
    "request_sets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Words, nullable=False),
    Column("profile", Words, nullable=False),
    Column("project", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("folder", Text, nullable=False, unique=True),
    Column("outbox", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_bytes", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("flawed", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("options", Words, nullable=False),
    Column("answered_from", Text, ForeignKey("request_sets.id")),
    Column("received_at", Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("batch_bytes_max", BigInteger),
    Column("finished_at", Time),
    Column("answered", BigInteger),
    Column("failed", BigInteger),
    Column("summary_sha256", Text),
    Column("reason", Words),
    Column("paused", Boolean, nullable=False),
    Column("cancel_asked", Boolean, nullable=False),
    Column("cap_lifted", Boolean, nullable=False),
    Column("held", Words),
    Column("updated_at", Time, nullable=False),
    Column("held_until", Time),
    Column("cap_micros", BigInteger),
    Column("price_waived", Boolean, nullable=False, server_default=false()),
    Column("day_lifted_until", Time),
    one_of("kind", get_args(Kind)),
    one_of("state", SET_STATES),
    check("counts", "content_bytes >= 0 AND flawed >= 0 AND tokens >= 0 AND run >= 0"),
    check("flaws", "flawed <= requests"),
    check("answers_itself", "answered_from <> id"),
    check("held_says_why", "held <> ''"),
    exactly_in("running", "narrowing", "batch_bytes_max"),
    exactly_in("delivered rejected cancelled", "finish", "finished_at"),
    exactly_in("delivered cancelled", "delivery", "answered failed summary_sha256"),
    exactly_in("rejected", "rejection", "reason"),
    check("conserved", "answered + failed = requests"),
    Index(None, "state", "received_at"),
    Index(None, "name", "content", "run"),
)
OWN_RUN = request_sets.c.answered_from.is_(None)
one_where("one_run", OWN_RUN, request_sets.c.fingerprint, request_sets.c.run)
# A rejected set publishes nothing, so the mended drop may have the name it wanted.
PUBLISHES = request_sets.c.state != "rejected"
one_where("one_outbox", PUBLISHES, request_sets.c.outbox)

retired_sets = Table(
    "retired_sets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Words, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Index(None, "fingerprint"),
    Index(None, "name", "content", "run"),
)

batches = Table(
    "batches",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("token", Text, nullable=False, unique=True),
    Column("set_id", Text, ForeignKey("request_sets.id"), nullable=False),
    Column("serial", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("lo", BigInteger, nullable=False),
    Column("hi", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("wire_bytes", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("ranges", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("project", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("upload", Integer),
    Column("file", Text),
    Column("file_expires", Time),
    Column("not_before", Time),
    Column("intended_at", Time),
    Column("account", Text),
    Column("epoch", BigInteger),
    Column("doubt", Text),
    Column("job", Text, unique=True),
    Column("submitted_at", Time),
    Column("ended_at", Time),
    Column("outcome", Text),
    Column("error_code", Integer),
    Column("error_message", Words),
    Column("collected_at", Time),
    Column("answered", BigInteger),
    Column("failed", BigInteger),
    Column("retryable", BigInteger),
    Column("missing", BigInteger),
    Column("given_up", BigInteger),
    Column("prompt", BigInteger),
    Column("cached", BigInteger),
    Column("candidates", BigInteger),
    Column("thoughts", BigInteger),
    Column("cost_micros", BigInteger),
    Column("reason", Text),
    Column("detail", Words),
    Column("lapsed_at", Time),
    one_of("mode", get_args(Mode)),
    one_of("kind", get_args(Kind)),
    one_of("state", BATCH_STATES),
    one_of("doubt", get_args(Doubt)),
    one_of("outcome", JobState),
    one_of("reason", LapseReason),
    check("envelope", "lo >= 0 AND requests >= 1 AND requests <= hi - lo"),
    check("counts", "serial >= 1 AND generation >= 1 AND wire_bytes >= 0 AND tokens >= 0"),
    check("uploads_count_from_one", "upload >= 1"),
    exactly_in("planned uploaded submitting", "unsent", "upload not_before"),
    exactly_in("submitting", "intent", "intended_at epoch doubt"),
    exactly_in("submitting submitted ended collected", "account", "account"),
    exactly_in("submitted ended collected", "job", "job submitted_at"),
    exactly_in("ended collected", "end", "ended_at outcome"),
    exactly_in(
        "collected",
        "answers",
        "collected_at answered failed retryable missing given_up prompt cached candidates thoughts",
    ),
    exactly_in("lapsed", "lapse", "reason detail lapsed_at"),
    check(
        "file",
        "CASE WHEN state = 'uploaded' THEN file IS NOT NULL"
        " WHEN state IN ('planned', 'lapsed') THEN file IS NULL ELSE TRUE END",
    ),
    check(
        "file_expires",
        "(file_expires IS NOT NULL) = (file IS NOT NULL AND state IN ('uploaded', 'submitting'))",
    ),
    check("error_whole", "(error_code IS NULL) = (error_message IS NULL)"),
    check("error_at_the_end", "error_code IS NULL OR state IN ('ended', 'collected')"),
    check("conserved", "answered + failed + retryable + missing + given_up = requests"),
    check(
        "tally_counts",
        "answered >= 0 AND failed >= 0 AND retryable >= 0 AND missing >= 0 AND given_up >= 0",
    ),
    check("cost_of_answers", "cost_micros IS NULL OR state = 'collected'"),
    UniqueConstraint("set_id", "serial"),
    Index(None, "state"),
)
LIVE = batches.c.state.not_in(ENDED_STATES)
one_where("one_live_batch", LIVE, batches.c.set_id, batches.c.lo)

events = Table(
    "events",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Time, nullable=False),
    Column("set_id", Text, ForeignKey("request_sets.id"), nullable=False),
    Column("batch_id", Serial),  # not a reference: that would need an index on every event
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("why", Words, nullable=False),
    check(
        "batch_edge",
        f"batch_id IS NULL OR source || '>' || target IN ({arrows(BATCH_EDGES)}, '>planned')",
    ),
    check(
        "set_edge",  # a flag is laid upon a set in whatever state it is
        "batch_id IS NOT NULL OR source || '>' || target IN"
        f" ({arrows(SET_EDGES | {(state, state) for state in SET_STATES})}, '>received')",
    ),
    sqlite_autoincrement=True,  # the id of an event that is gone is never given again
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", Words, primary_key=True),
    Column("token", Words, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("requests", BigInteger),
    Column("created_at", Time),
    Column("first_seen", Time, nullable=False),
    Column("last_seen", Time, nullable=False),
    one_of("role", ROLES),
    Index(None, "token"),
)
OURS = jobs.c.role == "ours"
one_where("one_job", OURS, jobs.c.token)

installs = Table(
    "installs",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False),
    check("one_row", "place = 1"),
)

lives = Table(
    "lives",
    metadata,
    Column("epoch", Serial, primary_key=True, autoincrement=False),
    Column("boot_id", Text, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("ended_at", Time),
    check("counts", "epoch >= 1"),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Time, nullable=False),
    Column("kind", Text, nullable=False),
    Column("token", Text),
    Column("detail", Words, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("cost_micros", BigInteger, nullable=False),
)

blocks = Table(
    "blocks",
    metadata,
    Column("project", Text, primary_key=True),
    Column("why", Words, nullable=False),
    Column("remedy", Words, nullable=False),
    Column("since", Time, nullable=False),
)

allowances = Table(
    "allowances",
    metadata,
    Column("project", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("enqueued_tokens", BigInteger),
    Column("changed_at", Time, nullable=False),
    Column("seen_tokens", BigInteger, nullable=False),
    Column("seen_bytes", BigInteger, nullable=False),
    check("counts", "enqueued_tokens >= 1 AND seen_tokens >= 0 AND seen_bytes >= 0"),
)

notices = Table(
    "notices",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("at", Time, nullable=False),
    Column("kind", Text, nullable=False),
    Column("set_id", Text),
    Column("body", Words, nullable=False),
    Column("due_at", Time, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("error", Words),
    Column("done_at", Time),
    Index(None, "done_at", "due_at"),
)
