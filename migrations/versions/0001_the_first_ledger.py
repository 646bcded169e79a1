"""The first ledger.

The text of the schema is repeated here on purpose: what a released migration builds never
changes, whatever becomes of the tables in the program. A test compares both.
"""
# ruff: noqa: E501 - statements as the database shows them

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SQLITE = (
    "CREATE TRIGGER batches_no_overlap BEFORE INSERT ON batches WHEN EXISTS (SELECT 1 FROM batches WHERE set_id = NEW.set_id AND state NOT IN ('collected', 'lapsed') AND lo < NEW.hi AND NEW.lo < hi) BEGIN SELECT RAISE(ABORT, 'overlaps a live batch'); END",
    "CREATE TRIGGER batches_edges BEFORE UPDATE OF state ON batches WHEN OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ('ended>collected', 'ended>lapsed', 'planned>lapsed', 'planned>planned', 'planned>submitting', 'planned>uploaded', 'submitted>ended', 'submitted>lapsed', 'submitting>lapsed', 'submitting>planned', 'submitting>submitted', 'submitting>submitting', 'submitting>uploaded', 'uploaded>lapsed', 'uploaded>planned', 'uploaded>submitting', 'uploaded>uploaded') BEGIN SELECT RAISE(ABORT, 'no edge of the machine'); END",
    "CREATE TRIGGER request_sets_edges BEFORE UPDATE OF state ON request_sets WHEN OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ('cancelled>running', 'delivered>running', 'indexed>cancelled', 'indexed>delivered', 'indexed>indexed', 'indexed>running', 'received>cancelled', 'received>indexed', 'received>received', 'received>rejected', 'running>cancelled', 'running>delivered', 'running>running') BEGIN SELECT RAISE(ABORT, 'no edge of the machine'); END",
    "CREATE TRIGGER batches_part BEFORE UPDATE OF id, token, set_id, serial, generation, lo, hi, requests, wire_bytes, tokens, ranges, mode, kind, model, project ON batches WHEN NEW.id <> OLD.id OR NEW.token <> OLD.token OR NEW.set_id <> OLD.set_id OR NEW.serial <> OLD.serial OR NEW.generation <> OLD.generation OR NEW.lo <> OLD.lo OR NEW.hi <> OLD.hi OR NEW.requests <> OLD.requests OR NEW.wire_bytes <> OLD.wire_bytes OR NEW.tokens <> OLD.tokens OR NEW.ranges <> OLD.ranges OR NEW.mode <> OLD.mode OR NEW.kind <> OLD.kind OR NEW.model <> OLD.model OR NEW.project <> OLD.project BEGIN SELECT RAISE(ABORT, 'a part never changes'); END",
    "CREATE TRIGGER batches_one_job BEFORE UPDATE OF job ON batches WHEN OLD.job IS NOT NULL AND NEW.job IS NOT NULL AND OLD.job <> NEW.job BEGIN SELECT RAISE(ABORT, 'a batch has one job'); END",
    "CREATE TRIGGER batches_keep BEFORE DELETE ON batches WHEN NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.set_id) BEGIN SELECT RAISE(ABORT, 'its token may still surface'); END",
    "CREATE TRIGGER request_sets_info BEFORE UPDATE OF id, name, profile, project, kind, model, folder, fingerprint, content, content_bytes, requests, flawed, tokens, priority, options, received_at ON request_sets WHEN NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.profile <> OLD.profile OR NEW.project <> OLD.project OR NEW.kind <> OLD.kind OR NEW.model <> OLD.model OR NEW.folder <> OLD.folder OR NEW.fingerprint <> OLD.fingerprint OR NEW.content <> OLD.content OR NEW.content_bytes <> OLD.content_bytes OR NEW.requests <> OLD.requests OR NEW.flawed <> OLD.flawed OR NEW.tokens <> OLD.tokens OR NEW.priority <> OLD.priority OR NEW.options <> OLD.options OR NEW.received_at <> OLD.received_at BEGIN SELECT RAISE(ABORT, 'what was accepted never changes'); END",
    "CREATE TRIGGER request_sets_source BEFORE UPDATE OF answered_from, run ON request_sets WHEN (COALESCE(NEW.answered_from, '') <> COALESCE(OLD.answered_from, '') OR NEW.run <> OLD.run) AND (OLD.answered_from IS NULL OR NEW.answered_from IS NOT NULL) BEGIN SELECT RAISE(ABORT, 'a copy may only come to be run for itself'); END",
    "CREATE TRIGGER request_sets_keep BEFORE DELETE ON request_sets WHEN NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.id) BEGIN SELECT RAISE(ABORT, 'its name would be given again'); END",
    "CREATE TRIGGER retired_sets_finished BEFORE INSERT ON retired_sets WHEN EXISTS (SELECT 1 FROM request_sets WHERE id = NEW.id AND state IN ('indexed', 'received', 'running')) OR EXISTS (SELECT 1 FROM batches WHERE set_id = NEW.id AND state NOT IN ('collected', 'lapsed')) BEGIN SELECT RAISE(ABORT, 'the set is not finished'); END",
    "CREATE TRIGGER retired_sets_keep BEFORE DELETE ON retired_sets WHEN TRUE BEGIN SELECT RAISE(ABORT, 'names are kept for ever'); END",
    "CREATE TRIGGER events_append_only BEFORE UPDATE ON events WHEN TRUE BEGIN SELECT RAISE(ABORT, 'history is not rewritten'); END",
    "CREATE TRIGGER events_keep BEFORE DELETE ON events WHEN NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.set_id) BEGIN SELECT RAISE(ABORT, 'history is not forgotten'); END",
    "CREATE TRIGGER jobs_identity BEFORE UPDATE OF name, token ON jobs WHEN NEW.name <> OLD.name OR NEW.token <> OLD.token BEGIN SELECT RAISE(ABORT, 'a job is write-once'); END",
    "CREATE TRIGGER installs_keep BEFORE UPDATE ON installs WHEN TRUE BEGIN SELECT RAISE(ABORT, 'an install is named once'); END",
)
POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    "ALTER TABLE batches ADD CONSTRAINT batches_no_overlap EXCLUDE USING gist (set_id WITH =, int8range(lo, hi) WITH &&) WHERE (state NOT IN ('collected', 'lapsed'))",
    "CREATE FUNCTION batches_edges() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ('ended>collected', 'ended>lapsed', 'planned>lapsed', 'planned>planned', 'planned>submitting', 'planned>uploaded', 'submitted>ended', 'submitted>lapsed', 'submitting>lapsed', 'submitting>planned', 'submitting>submitted', 'submitting>submitting', 'submitting>uploaded', 'uploaded>lapsed', 'uploaded>planned', 'uploaded>submitting', 'uploaded>uploaded') THEN RAISE EXCEPTION 'no edge of the machine'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER batches_edges BEFORE UPDATE OF state ON batches FOR EACH ROW EXECUTE FUNCTION batches_edges()",
    "CREATE FUNCTION request_sets_edges() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ('cancelled>running', 'delivered>running', 'indexed>cancelled', 'indexed>delivered', 'indexed>indexed', 'indexed>running', 'received>cancelled', 'received>indexed', 'received>received', 'received>rejected', 'running>cancelled', 'running>delivered', 'running>running') THEN RAISE EXCEPTION 'no edge of the machine'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER request_sets_edges BEFORE UPDATE OF state ON request_sets FOR EACH ROW EXECUTE FUNCTION request_sets_edges()",
    "CREATE FUNCTION batches_part() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id <> OLD.id OR NEW.token <> OLD.token OR NEW.set_id <> OLD.set_id OR NEW.serial <> OLD.serial OR NEW.generation <> OLD.generation OR NEW.lo <> OLD.lo OR NEW.hi <> OLD.hi OR NEW.requests <> OLD.requests OR NEW.wire_bytes <> OLD.wire_bytes OR NEW.tokens <> OLD.tokens OR NEW.ranges <> OLD.ranges OR NEW.mode <> OLD.mode OR NEW.kind <> OLD.kind OR NEW.model <> OLD.model OR NEW.project <> OLD.project THEN RAISE EXCEPTION 'a part never changes'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER batches_part BEFORE UPDATE OF id, token, set_id, serial, generation, lo, hi, requests, wire_bytes, tokens, ranges, mode, kind, model, project ON batches FOR EACH ROW EXECUTE FUNCTION batches_part()",
    "CREATE FUNCTION batches_one_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.job IS NOT NULL AND NEW.job IS NOT NULL AND OLD.job <> NEW.job THEN RAISE EXCEPTION 'a batch has one job'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER batches_one_job BEFORE UPDATE OF job ON batches FOR EACH ROW EXECUTE FUNCTION batches_one_job()",
    "CREATE FUNCTION batches_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.set_id) THEN RAISE EXCEPTION 'its token may still surface'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER batches_keep BEFORE DELETE ON batches FOR EACH ROW EXECUTE FUNCTION batches_keep()",
    "CREATE FUNCTION request_sets_info() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id <> OLD.id OR NEW.name <> OLD.name OR NEW.profile <> OLD.profile OR NEW.project <> OLD.project OR NEW.kind <> OLD.kind OR NEW.model <> OLD.model OR NEW.folder <> OLD.folder OR NEW.fingerprint <> OLD.fingerprint OR NEW.content <> OLD.content OR NEW.content_bytes <> OLD.content_bytes OR NEW.requests <> OLD.requests OR NEW.flawed <> OLD.flawed OR NEW.tokens <> OLD.tokens OR NEW.priority <> OLD.priority OR NEW.options <> OLD.options OR NEW.received_at <> OLD.received_at THEN RAISE EXCEPTION 'what was accepted never changes'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER request_sets_info BEFORE UPDATE OF id, name, profile, project, kind, model, folder, fingerprint, content, content_bytes, requests, flawed, tokens, priority, options, received_at ON request_sets FOR EACH ROW EXECUTE FUNCTION request_sets_info()",
    "CREATE FUNCTION request_sets_source() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (COALESCE(NEW.answered_from, '') <> COALESCE(OLD.answered_from, '') OR NEW.run <> OLD.run) AND (OLD.answered_from IS NULL OR NEW.answered_from IS NOT NULL) THEN RAISE EXCEPTION 'a copy may only come to be run for itself'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER request_sets_source BEFORE UPDATE OF answered_from, run ON request_sets FOR EACH ROW EXECUTE FUNCTION request_sets_source()",
    "CREATE FUNCTION request_sets_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.id) THEN RAISE EXCEPTION 'its name would be given again'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER request_sets_keep BEFORE DELETE ON request_sets FOR EACH ROW EXECUTE FUNCTION request_sets_keep()",
    "CREATE FUNCTION retired_sets_finished() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT 1 FROM request_sets WHERE id = NEW.id AND state IN ('indexed', 'received', 'running')) OR EXISTS (SELECT 1 FROM batches WHERE set_id = NEW.id AND state NOT IN ('collected', 'lapsed')) THEN RAISE EXCEPTION 'the set is not finished'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER retired_sets_finished BEFORE INSERT ON retired_sets FOR EACH ROW EXECUTE FUNCTION retired_sets_finished()",
    "CREATE FUNCTION retired_sets_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TRUE THEN RAISE EXCEPTION 'names are kept for ever'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER retired_sets_keep BEFORE DELETE ON retired_sets FOR EACH ROW EXECUTE FUNCTION retired_sets_keep()",
    "CREATE FUNCTION events_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TRUE THEN RAISE EXCEPTION 'history is not rewritten'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER events_append_only BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION events_append_only()",
    "CREATE FUNCTION events_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.set_id) THEN RAISE EXCEPTION 'history is not forgotten'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER events_keep BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION events_keep()",
    "CREATE FUNCTION jobs_identity() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.name <> OLD.name OR NEW.token <> OLD.token THEN RAISE EXCEPTION 'a job is write-once'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER jobs_identity BEFORE UPDATE OF name, token ON jobs FOR EACH ROW EXECUTE FUNCTION jobs_identity()",
    "CREATE FUNCTION installs_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF TRUE THEN RAISE EXCEPTION 'an install is named once'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER installs_keep BEFORE UPDATE ON installs FOR EACH ROW EXECUTE FUNCTION installs_keep()",
)


def upgrade() -> None:
    """Build every table, index and trigger."""
    op.create_table(
        "allowances",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("enqueued_tokens", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_tokens", sa.BigInteger(), nullable=False),
        sa.Column("seen_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "enqueued_tokens >= 1 AND seen_tokens >= 0 AND seen_bytes >= 0",
            name=op.f("ck_allowances_counts"),
        ),
        sa.PrimaryKeyConstraint("project", "model", name=op.f("pk_allowances")),
    )
    op.create_table(
        "blocks",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("remedy", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_blocks")),
    )
    op.create_table(
        "incidents",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("cost_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_table(
        "installs",
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.CheckConstraint("place = 1", name=op.f("ck_installs_one_row")),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_installs")),
    )
    op.create_table(
        "jobs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=True),
        sa.Column("first_seen", sa.BigInteger(), nullable=False),
        sa.Column("last_seen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('ours', 'twin', 'stray')", name=op.f("ck_jobs_role_word")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_token"), "jobs", ["token"], unique=False)
    op.create_index(
        "one_job",
        "jobs",
        ["token"],
        unique=True,
        sqlite_where=sa.text("role = 'ours'"),
        postgresql_where=sa.text("role = 'ours'"),
    )
    op.create_table(
        "lives",
        sa.Column("epoch", SERIAL, autoincrement=False, nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_lives_counts")),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_lives")),
    )
    op.create_table(
        "notices",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("set_id", sa.Text(), nullable=True),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
    )
    op.create_index(
        op.f("ix_notices_done_at_due_at"), "notices", ["done_at", "due_at"], unique=False
    )
    op.create_table(
        "request_sets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("outbox", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("content_bytes", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("flawed", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("answered_from", sa.Text(), nullable=True),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("batch_bytes_max", sa.BigInteger(), nullable=True),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.Column("answered", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.BigInteger(), nullable=True),
        sa.Column("summary_sha256", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("cancel_asked", sa.Boolean(), nullable=False),
        sa.Column("cap_lifted", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "CASE WHEN state IN ('delivered', 'cancelled') THEN answered IS NOT NULL AND failed IS NOT NULL AND summary_sha256 IS NOT NULL ELSE answered IS NULL AND failed IS NULL AND summary_sha256 IS NULL END",
            name=op.f("ck_request_sets_delivery"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('delivered', 'rejected', 'cancelled') THEN finished_at IS NOT NULL ELSE finished_at IS NULL END",
            name=op.f("ck_request_sets_finish"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('rejected') THEN reason IS NOT NULL ELSE reason IS NULL END",
            name=op.f("ck_request_sets_rejection"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('running') THEN batch_bytes_max IS NOT NULL ELSE batch_bytes_max IS NULL END",
            name=op.f("ck_request_sets_narrowing"),
        ),
        sa.CheckConstraint("held <> ''", name=op.f("ck_request_sets_held_says_why")),
        sa.CheckConstraint("kind IN ('generate', 'embed')", name=op.f("ck_request_sets_kind_word")),
        sa.CheckConstraint(
            "state IN ('cancelled', 'delivered', 'indexed', 'received', 'rejected', 'running')",
            name=op.f("ck_request_sets_state_word"),
        ),
        sa.CheckConstraint("answered + failed = requests", name=op.f("ck_request_sets_conserved")),
        sa.CheckConstraint("answered_from <> id", name=op.f("ck_request_sets_answers_itself")),
        sa.CheckConstraint(
            "content_bytes >= 0 AND flawed >= 0 AND tokens >= 0 AND run >= 0",
            name=op.f("ck_request_sets_counts"),
        ),
        sa.CheckConstraint("flawed <= requests", name=op.f("ck_request_sets_flaws")),
        sa.ForeignKeyConstraint(
            ["answered_from"], ["request_sets.id"], name=op.f("fk_request_sets_answered_from")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_sets")),
        sa.UniqueConstraint("folder", name=op.f("uq_request_sets_folder")),
    )
    op.create_index(
        op.f("ix_request_sets_name_content_run"),
        "request_sets",
        ["name", "content", "run"],
        unique=False,
    )
    op.create_index(
        op.f("ix_request_sets_state_received_at"),
        "request_sets",
        ["state", "received_at"],
        unique=False,
    )
    op.create_index(
        "one_outbox",
        "request_sets",
        ["outbox"],
        unique=True,
        sqlite_where=sa.text("state != 'rejected'"),
        postgresql_where=sa.text("state != 'rejected'"),
    )
    op.create_index(
        "one_run",
        "request_sets",
        ["fingerprint", "run"],
        unique=True,
        sqlite_where=sa.text("answered_from IS NULL"),
        postgresql_where=sa.text("answered_from IS NULL"),
    )
    op.create_table(
        "retired_sets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retired_sets")),
    )
    op.create_index(
        op.f("ix_retired_sets_fingerprint"), "retired_sets", ["fingerprint"], unique=False
    )
    op.create_index(
        op.f("ix_retired_sets_name_content_run"),
        "retired_sets",
        ["name", "content", "run"],
        unique=False,
    )
    op.create_table(
        "batches",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("set_id", sa.Text(), nullable=False),
        sa.Column("serial", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("lo", sa.BigInteger(), nullable=False),
        sa.Column("hi", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("wire_bytes", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("ranges", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("upload", sa.Integer(), nullable=True),
        sa.Column("file", sa.Text(), nullable=True),
        sa.Column("file_expires", sa.BigInteger(), nullable=True),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("intended_at", sa.BigInteger(), nullable=True),
        sa.Column("account", sa.Text(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("doubt", sa.Text(), nullable=True),
        sa.Column("job", sa.Text(), nullable=True),
        sa.Column("submitted_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("collected_at", sa.BigInteger(), nullable=True),
        sa.Column("answered", sa.BigInteger(), nullable=True),
        sa.Column("failed", sa.BigInteger(), nullable=True),
        sa.Column("retryable", sa.BigInteger(), nullable=True),
        sa.Column("missing", sa.BigInteger(), nullable=True),
        sa.Column("given_up", sa.BigInteger(), nullable=True),
        sa.Column("prompt", sa.BigInteger(), nullable=True),
        sa.Column("cached", sa.BigInteger(), nullable=True),
        sa.Column("candidates", sa.BigInteger(), nullable=True),
        sa.Column("thoughts", sa.BigInteger(), nullable=True),
        sa.Column("cost_micros", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("lapsed_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(file_expires IS NOT NULL) = (file IS NOT NULL AND state IN ('uploaded', 'submitting'))",
            name=op.f("ck_batches_file_expires"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state = 'uploaded' THEN file IS NOT NULL WHEN state IN ('planned', 'lapsed') THEN file IS NULL ELSE TRUE END",
            name=op.f("ck_batches_file"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('collected') THEN collected_at IS NOT NULL AND answered IS NOT NULL AND failed IS NOT NULL AND retryable IS NOT NULL AND missing IS NOT NULL AND given_up IS NOT NULL AND prompt IS NOT NULL AND cached IS NOT NULL AND candidates IS NOT NULL AND thoughts IS NOT NULL ELSE collected_at IS NULL AND answered IS NULL AND failed IS NULL AND retryable IS NULL AND missing IS NULL AND given_up IS NULL AND prompt IS NULL AND cached IS NULL AND candidates IS NULL AND thoughts IS NULL END",
            name=op.f("ck_batches_answers"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('ended', 'collected') THEN ended_at IS NOT NULL AND outcome IS NOT NULL ELSE ended_at IS NULL AND outcome IS NULL END",
            name=op.f("ck_batches_end"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('lapsed') THEN reason IS NOT NULL AND detail IS NOT NULL AND lapsed_at IS NOT NULL ELSE reason IS NULL AND detail IS NULL AND lapsed_at IS NULL END",
            name=op.f("ck_batches_lapse"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('planned', 'uploaded', 'submitting') THEN upload IS NOT NULL AND not_before IS NOT NULL ELSE upload IS NULL AND not_before IS NULL END",
            name=op.f("ck_batches_unsent"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('submitted', 'ended', 'collected') THEN job IS NOT NULL AND submitted_at IS NOT NULL ELSE job IS NULL AND submitted_at IS NULL END",
            name=op.f("ck_batches_job"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('submitting') THEN intended_at IS NOT NULL AND epoch IS NOT NULL AND doubt IS NOT NULL ELSE intended_at IS NULL AND epoch IS NULL AND doubt IS NULL END",
            name=op.f("ck_batches_intent"),
        ),
        sa.CheckConstraint(
            "CASE WHEN state IN ('submitting', 'submitted', 'ended', 'collected') THEN account IS NOT NULL ELSE account IS NULL END",
            name=op.f("ck_batches_account"),
        ),
        sa.CheckConstraint(
            "cost_micros IS NULL OR state = 'collected'", name=op.f("ck_batches_cost_of_answers")
        ),
        sa.CheckConstraint(
            "doubt IN ('sending', 'in_doubt', 'fenced', 'held')", name=op.f("ck_batches_doubt_word")
        ),
        sa.CheckConstraint(
            "error_code IS NULL OR state IN ('ended', 'collected')",
            name=op.f("ck_batches_error_at_the_end"),
        ),
        sa.CheckConstraint("kind IN ('generate', 'embed')", name=op.f("ck_batches_kind_word")),
        sa.CheckConstraint("mode IN ('inline', 'file')", name=op.f("ck_batches_mode_word")),
        sa.CheckConstraint(
            "outcome IN ('unspecified', 'pending', 'running', 'succeeded', 'failed', 'cancelled', 'expired')",
            name=op.f("ck_batches_outcome_word"),
        ),
        sa.CheckConstraint(
            "reason IN ('dropped', 'refused', 'invalid', 'absent', 'vanished', 'expired', 'failed', 'cancelled')",
            name=op.f("ck_batches_reason_word"),
        ),
        sa.CheckConstraint(
            "state IN ('collected', 'ended', 'lapsed', 'planned', 'submitted', 'submitting', 'uploaded')",
            name=op.f("ck_batches_state_word"),
        ),
        sa.CheckConstraint(
            "(error_code IS NULL) = (error_message IS NULL)", name=op.f("ck_batches_error_whole")
        ),
        sa.CheckConstraint(
            "answered + failed + retryable + missing + given_up = requests",
            name=op.f("ck_batches_conserved"),
        ),
        sa.CheckConstraint(
            "answered >= 0 AND failed >= 0 AND retryable >= 0 AND missing >= 0 AND given_up >= 0",
            name=op.f("ck_batches_tally_counts"),
        ),
        sa.CheckConstraint(
            "lo >= 0 AND requests >= 1 AND requests <= hi - lo", name=op.f("ck_batches_envelope")
        ),
        sa.CheckConstraint(
            "serial >= 1 AND generation >= 1 AND wire_bytes >= 0 AND tokens >= 0",
            name=op.f("ck_batches_counts"),
        ),
        sa.CheckConstraint("upload >= 1", name=op.f("ck_batches_uploads_count_from_one")),
        sa.ForeignKeyConstraint(["set_id"], ["request_sets.id"], name=op.f("fk_batches_set_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("job", name=op.f("uq_batches_job")),
        sa.UniqueConstraint("set_id", "serial", name=op.f("uq_batches_set_id_serial")),
        sa.UniqueConstraint("token", name=op.f("uq_batches_token")),
    )
    op.create_index(op.f("ix_batches_state"), "batches", ["state"], unique=False)
    op.create_index(
        "one_live_batch",
        "batches",
        ["set_id", "lo"],
        unique=True,
        sqlite_where=sa.text("(state NOT IN ('collected', 'lapsed'))"),
        postgresql_where=sa.text("(state NOT IN ('collected', 'lapsed'))"),
    )
    op.create_table(
        "events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("set_id", sa.Text(), nullable=False),
        sa.Column("batch_id", SERIAL, nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "batch_id IS NOT NULL OR source || '>' || target IN ('cancelled>cancelled', 'cancelled>running', 'delivered>delivered', 'delivered>running', 'indexed>cancelled', 'indexed>delivered', 'indexed>indexed', 'indexed>running', 'received>cancelled', 'received>indexed', 'received>received', 'received>rejected', 'rejected>rejected', 'running>cancelled', 'running>delivered', 'running>running', '>received')",
            name=op.f("ck_events_set_edge"),
        ),
        sa.CheckConstraint(
            "batch_id IS NULL OR source || '>' || target IN ('ended>collected', 'ended>lapsed', 'planned>lapsed', 'planned>planned', 'planned>submitting', 'planned>uploaded', 'submitted>ended', 'submitted>lapsed', 'submitting>lapsed', 'submitting>planned', 'submitting>submitted', 'submitting>submitting', 'submitting>uploaded', 'uploaded>lapsed', 'uploaded>planned', 'uploaded>submitting', 'uploaded>uploaded', '>planned')",
            name=op.f("ck_events_batch_edge"),
        ),
        sa.ForeignKeyConstraint(["set_id"], ["request_sets.id"], name=op.f("fk_events_set_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sqlite_autoincrement=True,
    )
    for statement in SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(sa.DDL(statement))
