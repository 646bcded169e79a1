"""What no CHECK can say, as triggers for SQLite and PostgreSQL alike.

A move of a state that is no edge, a second live batch for the same requests, another identity
for a row, a rewritten history: the database itself refuses each of them. Migrations repeat these
texts as they were at their time; a test compares what both build.
"""

from dataclasses import dataclass

from sqlalchemy import DDL, event

from orchestrator.domain.batches import BATCH_EDGES
from orchestrator.domain.request_sets import OPEN_STATES, SET_EDGES
from orchestrator.store.schema import arrows, metadata, quoted
from orchestrator.store.tables import ENDED_STATES


@dataclass(frozen=True, slots=True)
class Wall:
    """A change that is refused: `when` it is about to happen and the condition holds."""

    name: str
    table: str
    when: str
    condition: str
    message: str

    def sqlite(self) -> str:
        """Return the trigger for SQLite."""
        return (
            f"CREATE TRIGGER {self.name} {self.when} ON {self.table} WHEN {self.condition}"
            f" BEGIN SELECT RAISE(ABORT, '{self.message}'); END"
        )

    def postgresql(self) -> tuple[str, str]:
        """Return the function and the trigger for PostgreSQL."""
        row = "OLD" if "DELETE" in self.when else "NEW"
        function = (
            f"CREATE FUNCTION {self.name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF {self.condition} THEN RAISE EXCEPTION '{self.message}'; END IF;"
            f" RETURN {row}; END $$"
        )
        trigger = (
            f"CREATE TRIGGER {self.name} {self.when} ON {self.table}"
            f" FOR EACH ROW EXECUTE FUNCTION {self.name}()"
        )
        return function, trigger


def differs(columns: str) -> str:
    """Return the condition that one of these columns, none of which is empty, changes."""
    return " OR ".join(f"NEW.{column} <> OLD.{column}" for column in columns.split())


def write_once(name: str, table: str, columns: str, message: str) -> Wall:
    """Refuse another value for columns that are filled from the start."""
    when = f"BEFORE UPDATE OF {', '.join(columns.split())}"
    return Wall(name, table, when, differs(columns), message)


def edges_only(name: str, table: str, edges: frozenset[tuple[str, str]]) -> Wall:
    """Refuse a change of state that is no edge of the machine."""
    condition = f"OLD.state <> NEW.state AND OLD.state || '>' || NEW.state NOT IN ({arrows(edges)})"
    return Wall(name, table, "BEFORE UPDATE OF state", condition, "no edge of the machine")


LIVE = f"state NOT IN ({quoted(ENDED_STATES)})"
OPEN = f"state IN ({quoted(sorted(OPEN_STATES))})"
NOT_RETIRED = "NOT EXISTS (SELECT 1 FROM retired_sets WHERE retired_sets.id = OLD.{})"

OVERLAPS = (
    f"EXISTS (SELECT 1 FROM batches WHERE set_id = NEW.set_id AND {LIVE}"  # noqa: S608 - constants
    " AND lo < NEW.hi AND NEW.lo < hi)"
)
UNFINISHED = (
    f"EXISTS (SELECT 1 FROM request_sets WHERE id = NEW.id AND {OPEN})"  # noqa: S608 - constants
    f" OR EXISTS (SELECT 1 FROM batches WHERE set_id = NEW.id AND {LIVE})"
)
# PostgreSQL sees other transactions' rows only once they are committed: there an exclusion
# constraint says the same.
NO_OVERLAP = Wall(
    "batches_no_overlap",
    "batches",
    "BEFORE INSERT",
    OVERLAPS,
    "overlaps a live batch",
)
NO_OVERLAP_POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS btree_gist",
    (
        "ALTER TABLE batches ADD CONSTRAINT batches_no_overlap EXCLUDE USING gist"
        f" (set_id WITH =, int8range(lo, hi) WITH &&) WHERE ({LIVE})"
    ),
)
WALLS = (
    edges_only("batches_edges", "batches", BATCH_EDGES),
    edges_only("request_sets_edges", "request_sets", SET_EDGES),
    write_once(
        "batches_part",
        "batches",
        "id token set_id serial generation lo hi requests wire_bytes tokens ranges mode kind model"
        " project",
        "a part never changes",
    ),
    Wall(
        "batches_one_job",
        "batches",
        "BEFORE UPDATE OF job",
        "OLD.job IS NOT NULL AND NEW.job IS NOT NULL AND OLD.job <> NEW.job",
        "a batch has one job",
    ),
    Wall(
        "batches_keep",
        "batches",
        "BEFORE DELETE",
        NOT_RETIRED.format("set_id"),
        "its token may still surface",
    ),
    write_once(
        "request_sets_info",
        "request_sets",
        "id name profile project kind model folder fingerprint content content_bytes requests"
        " flawed tokens priority options received_at",
        "what was accepted never changes",
    ),
    Wall(
        "request_sets_source",
        "request_sets",
        "BEFORE UPDATE OF answered_from, run",
        "(COALESCE(NEW.answered_from, '') <> COALESCE(OLD.answered_from, '')"
        " OR NEW.run <> OLD.run)"
        " AND (OLD.answered_from IS NULL OR NEW.answered_from IS NOT NULL)",
        "a copy may only come to be run for itself",
    ),
    Wall(
        "request_sets_keep",
        "request_sets",
        "BEFORE DELETE",
        NOT_RETIRED.format("id"),
        "its name would be given again",
    ),
    Wall(
        "retired_sets_finished",
        "retired_sets",
        "BEFORE INSERT",
        UNFINISHED,
        "the set is not finished",
    ),
    Wall("retired_sets_keep", "retired_sets", "BEFORE DELETE", "TRUE", "names are kept for ever"),
    Wall("events_append_only", "events", "BEFORE UPDATE", "TRUE", "history is not rewritten"),
    Wall(
        "events_keep",
        "events",
        "BEFORE DELETE",
        NOT_RETIRED.format("set_id"),
        "history is not forgotten",
    ),
    write_once("jobs_identity", "jobs", "name token", "a job is write-once"),
    Wall("installs_keep", "installs", "BEFORE UPDATE", "TRUE", "an install is named once"),
)


def _build() -> None:
    for wall in (NO_OVERLAP, *WALLS):
        trigger = DDL(wall.sqlite())  # type: ignore[no-untyped-call]
        event.listen(metadata, "after_create", trigger.execute_if(dialect="sqlite"))
    statements = [*NO_OVERLAP_POSTGRESQL]
    for wall in WALLS:
        statements += wall.postgresql()
    for statement in statements:
        ddl = DDL(statement)  # type: ignore[no-untyped-call]
        event.listen(metadata, "after_create", ddl.execute_if(dialect="postgresql"))


_build()
