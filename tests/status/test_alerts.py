"""The alert rules and the dashboard, as Prometheus itself judges them.

Needs promtool (of the package prometheus), in the path or named by $PROMTOOL.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping

import pytest
import yaml  # type: ignore[import-untyped]

from tests.status.test_deploy import ALERTS, expressions, rules

HOURS = 7
WELL = {
    'up{job="orchestrator"}': "1",
    "orchestrator_ready": "1",
    "orchestrator_uptime_seconds": "100000",
    'orchestrator_project_blocked{project="default"}': "0",
    'orchestrator_queue{queue="watch"}': "5",
    'orchestrator_queue{queue="upload"}': "1",
    "orchestrator_last_scan_age_seconds": "60",
    'orchestrator_moves_total{machine="batch",source="planned",target="uploaded"}': "0+1x",
    'orchestrator_requests_settled_total{outcome="answered"}': "0+99x",
    'orchestrator_requests_settled_total{outcome="failed"}': "0+1x",
    'orchestrator_requests_settled_total{outcome="given_up"}': "0",
    'orchestrator_api_calls_total{call="list",status="200"}': "0+9x",
    'orchestrator_api_calls_total{call="list",status="503"}': "0+1x",
    'orchestrator_event_loop_lag_seconds_bucket{le="0.05"}': "0+60x",
    'orchestrator_event_loop_lag_seconds_bucket{le="5.0"}': "0+60x",
    'orchestrator_event_loop_lag_seconds_bucket{le="+Inf"}': "0+60x",
    'orchestrator_notifications_total{channel="webhook",result="failed"}': "0",
    **{
        f'orchestrator_batches_lapsed_total{{reason="{reason}"}}': "0"
        for reason in ("expired", "refused")
    },
    **{
        f'orchestrator_incidents_total{{kind="{kind}"}}': "0"
        for kind in ("paid_twice_suspected", "weak_evidence")
    },
}
STEP = "0x{before} 1x12"  # from nothing to one, an hour ago
# What is not well, and the alert that it gives.
ILL = {
    "OrchestratorDown": {'up{job="orchestrator"}': "0"},
    "OrchestratorNotReady": {"orchestrator_ready": "0"},
    "OrchestratorProjectBlocked": {'orchestrator_project_blocked{project="default"}': "1"},
    "OrchestratorDegraded": {'orchestrator_conditions{kind="disk"}': "1"},
    "OrchestratorPaidTwiceSuspected": {
        'orchestrator_incidents_total{kind="paid_twice_suspected"}': STEP
    },
    "OrchestratorWeakEvidence": {'orchestrator_incidents_total{kind="weak_evidence"}': STEP},
    "OrchestratorStrayJobs": {"orchestrator_stray_jobs": "2"},
    "OrchestratorDoubtHeld": {'orchestrator_in_doubt{doubt="held"}': "1"},
    "OrchestratorDoubtOld": {"orchestrator_oldest_doubt_age_seconds": "10801"},
    "OrchestratorSetHeld": {'orchestrator_sets{state="held"}': "1"},
    "OrchestratorJobOld": {"orchestrator_oldest_job_age_seconds": "108001"},
    "OrchestratorJobsExpire": {'orchestrator_batches_lapsed_total{reason="expired"}': STEP},
    "OrchestratorBatchesRefused": {
        'orchestrator_batches_lapsed_total{reason="refused"}': "0x{before} 4x12"
    },
    "OrchestratorRequestsFail": {'orchestrator_requests_settled_total{outcome="given_up"}': "0+9x"},
    "OrchestratorListUnseen": {"orchestrator_last_scan_age_seconds": "3601"},
    "OrchestratorCallsFail": {'orchestrator_api_calls_total{call="list",status="503"}': "0+20x"},
    "OrchestratorStalled": {
        'orchestrator_moves_total{machine="batch",source="planned",target="uploaded"}': "7"
    },
    "OrchestratorEventLoopLag": {'orchestrator_event_loop_lag_seconds_bucket{le="0.05"}': "0+30x"},
    "OrchestratorNotificationsFail": {
        'orchestrator_notifications_total{channel="webhook",result="failed"}': "0x{before} 9x12"
    },
}


@pytest.fixture(scope="module")
def promtool():
    """Return a function that runs promtool; it fails with what that says."""
    tool = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if tool is None:
        pytest.skip("the alert rules were NOT tried: promtool is not here; apt install prometheus")

    def run(*arguments):
        command = [tool, *map(str, arguments)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr

    return run


def lasting(values: str) -> str:
    """Return a series for all the hours, a sample every five minutes."""
    samples = HOURS * 12
    if "{before}" in values:
        return values.format(before=samples - 12)
    return f"{values}{samples}" if values.endswith("x") else f"{values}x{samples}"


def case(name: str, changes: Mapping[str, str], fired: list[str]):
    """Return a test of promtool's: with these series, these alerts fire at the end."""
    series = [
        {"series": with_instance(each), "values": lasting(values)}
        for each, values in (WELL | dict(changes)).items()
    ]
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in fired]
    asked = 'count by (alertname) (ALERTS{alertstate="firing"})'
    look = {"expr": asked, "eval_time": f"{HOURS}h", "exp_samples": expected}
    return {"name": name, "interval": "5m", "input_series": series, "promql_expr_test": [look]}


def with_instance(series: str) -> str:
    """Add what every scraped series has."""
    name, _, labels = series.partition("{")
    rest = labels.removesuffix("}")
    return f'{name}{{instance="one"{"," if rest else ""}{rest}}}'


def test_promtool_takes_the_rules(promtool):
    """The rules are what Prometheus reads."""
    promtool("check", "rules", ALERTS)


def test_promtool_takes_what_the_dashboard_asks(promtool, tmp_path):
    """Each expression of the dashboard is PromQL."""
    asked = [each.replace("$__rate_interval", "5m") for each in expressions()]
    recorded = [{"record": f"asked:{n}", "expr": each} for n, each in enumerate(asked)]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))

    promtool("check", "rules", file)


def test_every_alert_has_its_illness():
    """There is a case for each rule."""
    assert list(ILL) == [rule["alert"] for rule in rules()]


def test_each_alert_fires_on_its_cause_and_on_no_other(promtool, tmp_path):
    """While all is well none fires; each cause fires its own alert, and only that."""
    cases = [case("well", {}, []), *(case(alert, ill, [alert]) for alert, ill in ILL.items())]
    file = tmp_path / "alerts_test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "5m", "tests": cases})
    )

    promtool("test", "rules", file)


def test_a_young_daemon_is_not_called_stalled(promtool, tmp_path):
    """An upload that takes its time after a start is no standstill of hours."""
    young = ILL["OrchestratorStalled"] | {"orchestrator_uptime_seconds": "9000"}
    file = tmp_path / "alerts_test.yml"
    tests = [case("young", young, [])]
    file.write_text(
        yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "5m", "tests": tests})
    )

    promtool("test", "rules", file)
