"""The one list of events, and the lines for transitions."""

import ast
import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
import structlog
from hypothesis import given, settings as effort, strategies as st

import orchestrator
from orchestrator.domain import batches, request_sets
from orchestrator.domain.batches import BATCH_EDGES
from orchestrator.domain.ids import (
    AccountFingerprint,
    IdempotencyKey,
    JobName,
    Ordinal,
    ProjectName,
    SetId,
)
from orchestrator.domain.moves import Move
from orchestrator.domain.request_sets import SET_EDGES
from orchestrator.log import EVENTS, configure, tell
from orchestrator.log.moves import BATCH_VERBS, SET_VERBS
from orchestrator.store.journal import Recorded

LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
PACKAGE = Path(orchestrator.__file__).parent


def calls():
    """Yield (place, event or None, keys) of every call on a logger in the package."""
    for file in PACKAGE.rglob("*.py"):
        if file.parent.name == "log":
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner = ast.unparse(node.func.value)
            if node.func.attr in LEVELS and owner in {"log", "logger", "structlog.get_logger()"}:
                first = node.args[0] if node.args else None
                event = first.value if isinstance(first, ast.Constant) else None
                yield f"{file.name}:{node.lineno}", event, {each.arg for each in node.keywords}


def test_every_event_of_the_code_is_listed_with_its_keys():
    """An event is a constant of the list, and has only the keys that the list gives it."""
    wrong = [
        (place, event, keys - EVENTS.get(event or "", frozenset()) - {"exc_info", None})
        for place, event, keys in calls()
        if event not in EVENTS or keys - EVENTS[event] - {"exc_info", None}
    ]

    assert not wrong


def test_events_are_named_alike():
    """noun.past_verb, lower case."""
    assert all(re.fullmatch(r"[a-z]+\.[a-z_]+", event) for event in EVENTS)


def test_every_edge_of_both_machines_has_an_event():
    """No transition goes by without a line of its own name."""
    silent = {("submitting", "lapsed")}  # told apart by its reason
    assert BATCH_EDGES - silent == set(BATCH_VERBS)
    assert set(BATCH_VERBS.values()) | set(SET_VERBS.values()) <= set(EVENTS)
    assert set(SET_VERBS) <= SET_EDGES


@pytest.fixture
def log():
    """Return a stream that gets the log as JSON."""
    stream = io.StringIO()
    configure("json", "debug", list, stream)
    yield stream
    structlog.reset_defaults()


NOW = datetime(2026, 1, 2, tzinfo=UTC)
BATCHES = st.one_of(*map(st.from_type, get_args(batches.Batch)))
SETS = st.one_of(*map(st.from_type, get_args(request_sets.RequestSet)))


@effort(max_examples=60)
@given(BATCHES, SETS)
def test_a_line_has_only_listed_keys_for_any_value(batch, request_set):
    """Whatever state is told, its line is a listed event with listed keys."""
    stream = io.StringIO()
    configure("json", "debug", list, stream)
    loops = (batch.state, batch.state) in BATCH_EDGES
    moves = [Move(batch, batch, "why")] if loops else []

    tell(Recorded(NOW, (*moves, Move(request_set, request_set, "why"))))

    for line in stream.getvalue().splitlines():
        event = json.loads(line)
        allowed = EVENTS[event["event"]] | {"timestamp", "level", "event"}
        assert set(event) <= allowed
    structlog.reset_defaults()


def test_a_submission_is_one_line_with_what_matters(log):
    """`batch.submitted` names set, batch, job, generation and size."""
    part = batches.Part(
        IdempotencyKey("orc1-a"),
        SetId("set0000001"),
        serial=1,
        generation=1,
        lo=Ordinal(0),
        hi=Ordinal(10),
        count=10,
        wire_bytes=1234,
        tokens=99,
        ranges="d",
        mode="inline",
        kind="generate",
        model="m",
        project=ProjectName("default"),
    )
    intended = batches.intend(batches.Planned(part, 1, NOW), NOW, AccountFingerprint("a"), 1)
    confirmed = batches.confirm(intended.after, JobName("batches/x"), NOW, "answered")

    tell(Recorded(NOW, (confirmed,)))

    (line,) = log.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "batch.submitted"
    assert event["job"] == "batches/x"
    assert (event["set"], event["batch"], event["bytes"]) == ("set0000001", "orc1-a", 1234)
    assert event["why"] == "answered"
