"""What is shipped beside the code names nothing that the code does not have."""

import json
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
ALERTS = ROOT / "deploy" / "alerts.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"
API = ROOT / "docs" / "status-api.md"
NAME = re.compile(r"\borchestrator_[a-z_]+")


@pytest.fixture
async def known(world, make):
    """Every name that the registry can show, after something of everything has happened."""
    await world.run(make.info(1), make.part(make.info(1)))
    await world.room.feed.load()
    world.room.board.free_bytes = 1
    world.room.board.scanned(scan(), world.clock.now())
    names: set[str] = set()
    for family in world.room.metrics.registry.collect():
        ends = {"counter": ["_total"], "histogram": ["", "_bucket", "_sum", "_count"]}
        names.update(family.name + end for end in ends.get(family.type, [""]))
    return names


def scan():
    from orchestrator.domain.jobs import Scan

    return Scan((), complete=True, pages=1)


def rules():
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(chain.from_iterable(group["rules"] for group in groups))


def expressions():
    """Yield every expression of the dashboard and of the alerts."""

    def within(value):
        if isinstance(value, dict):
            if isinstance(value.get("expr"), str):
                yield value["expr"]
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                yield from within(one)

    yield from within(json.loads(DASHBOARD.read_text()))
    yield from (rule["expr"] for rule in rules())


async def test_every_metric_that_is_shown_or_watched_exists(known):
    """The dashboard and the alerts ask for nothing that is never there."""
    asked = {name for expression in expressions() for name in NAME.findall(expression)}

    assert asked - known == set()
    assert len(asked) > 30


async def test_every_metric_is_documented_and_shown(known):
    """The documentation lists each metric, and the dashboard shows each but constants."""
    documented = set(NAME.findall(API.read_text()))
    shown = {name for expression in expressions() for name in NAME.findall(expression)}
    ends = ("_bucket", "_sum", "_count")

    assert {name for name in known if not name.endswith(ends)} - documented == set()
    assert documented - known - {"orchestrator_"} == set()
    roots = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown | known}
    assert roots - {re.sub(r"_bucket$", "", name) for name in shown} <= {"orchestrator_info"}


def test_every_label_value_that_is_asked_for_is_one_of_ours():
    """States, queues, reasons and doubts are spelt in expressions as the code spells them."""
    from orchestrator.domain.batches import LapseReason
    from orchestrator.status.status_views import Queues
    from orchestrator.status.views import SetCounts

    spelt = {
        "orchestrator_queue": set(Queues.model_fields),
        "orchestrator_sets": set(SetCounts.model_fields),
        "orchestrator_batches_lapsed_total": {reason.value for reason in LapseReason},
        "orchestrator_requests_settled_total": {"answered", "failed", "given_up"},
        "orchestrator_in_doubt": {"sending", "in_doubt", "fenced", "held"},
        "orchestrator_incidents_total": {"paid_twice_suspected", "weak_evidence", "stray"},
        "orchestrator_notifications_total": {"sent", "failed"},
    }
    wrong = []
    for expression in expressions():
        for name, labels in re.findall(r"(orchestrator_\w+)\{([^}]*)\}", expression):
            for label, values in re.findall(r'(\w+)[!=~]+"([^"$]*)"', labels):
                if label in {"instance", "status", "job"}:
                    continue
                wrong += [(name, v) for v in values.split("|") if v not in spelt.get(name, ())]

    assert not wrong


def test_every_alert_has_its_paragraph_and_every_paragraph_its_alert():
    """The runbook and the alert rules name the same things, and each alert points to its own."""
    headings = re.findall(r"^## (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in rules()]

    assert headings == names
    for rule in rules():
        anchor = rule["alert"].lower()
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{anchor}"
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"]


@pytest.mark.parametrize("page", [RUNBOOK, API], ids=lambda page: page.name)
def test_every_setting_that_is_named_is_one(page):
    """A remedy that names a setting names one that exists."""
    example = (ROOT / "config.example.toml").read_text()
    settings = tomllib.loads(re.sub(r"^# ?(?=[\w.\"]+ = )", "", example, flags=re.MULTILINE))
    named = re.findall(r"`(\w+)\.(\w+)(?: = [^`]*)?`", page.read_text())
    named = [(section, key) for section, key in named if section in settings]

    assert [pair for pair in named if pair[1] not in settings[pair[0]]] == []
    assert named


@pytest.mark.parametrize("page", [RUNBOOK, API], ids=lambda page: page.name)
def test_every_link_within_the_pages_leads_somewhere(page):
    """Links to headings of the two pages exist."""
    for target, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
