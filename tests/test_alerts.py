"""The alerts: promtool reads them, each fires when it should and is quiet when it should, and names what there is."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from ss_pusher.batch import outcome
from ss_pusher.telemetry import TABLE
from tests import needs

RULES = Path(__file__).parent.parent / "docs" / "alerts.yml"
OF_A_PUSHGATEWAY = {"push_failure_time_seconds", "push_time_seconds"}
NOW = 'job="ss_pusher", instance="edge"'


class Case(NamedTuple):
    """Series with a value a minute, and how many alerts fire after so many minutes."""

    alert: str
    series: dict[str, str]
    minutes: int
    fires: int


CASES = [
    Case("SsPusherSilent", {f"ss_pusher_series{{{NOW}}}": "200x30 _x60"}, 60, 1),
    Case("SsPusherSilent", {f"ss_pusher_series{{{NOW}}}": "200x90"}, 60, 0),
    Case("SsPusherSilent", {f"ss_pusher_series{{{NOW}}}": "200x30 _x3000"}, 2000, 0),
    Case("SsPusherTicksFail", {f'ss_pusher_ticks_total{{{NOW}, outcome="failed"}}': "0+1x60"}, 40, 1),
    Case("SsPusherTicksFail", {f'ss_pusher_ticks_total{{{NOW}, outcome="failed"}}': "0x20 1x40"}, 55, 0),
    Case("SsPusherTicksFail", {f'ss_pusher_ticks_total{{{NOW}, outcome="ok"}}': "0+4x60"}, 40, 0),
    Case(
        "SsPusherSamplesDropped",
        {
            f'ss_pusher_samples_dropped_total{{{NOW}, endpoint="mimir", reason="{reason}"}}': "0x20 9x20"
            for reason in "ab"
        },
        30,
        1,
    ),
    Case("SsPusherSamplesDropped", {f'ss_pusher_samples_dropped_total{{{NOW}, reason="refused"}}': "9x60"}, 40, 0),
    Case(
        "SsPusherSamplesDropped", {f'ss_pusher_samples_dropped_total{{{NOW}, reason="repeated"}}': "0x20 9x20"}, 30, 0
    ),
    Case("SsPusherEndpointBehind", {f"ss_pusher_queue_highest_sent_timestamp_seconds{{{NOW}}}": "0x60"}, 30, 1),
    Case("SsPusherEndpointBehind", {f"ss_pusher_queue_highest_sent_timestamp_seconds{{{NOW}}}": "0+60x60"}, 30, 0),
    Case("SsPusherClosedFlowsLost", {f"ss_pusher_closed_flow_events_lost_total{{{NOW}}}": "0+1x200"}, 150, 1),
    Case("SsPusherClosedFlowsLost", {f"ss_pusher_closed_flow_events_lost_total{{{NOW}}}": "7x200"}, 150, 0),
    Case("SsPusherClockApart", {f"ss_pusher_clock_ahead_seconds{{{NOW}}}": "-90x60"}, 30, 1),
    Case("SsPusherClockApart", {f"ss_pusher_clock_ahead_seconds{{{NOW}}}": "-1x60"}, 30, 0),
    Case(
        "SsPusherGatewayRefuses",
        {'push_failure_time_seconds{job="a"}': "500x60", 'push_time_seconds{job="a"}': "400x60"},
        30,
        1,
    ),
    Case(
        "SsPusherGatewayRefuses",
        {'push_failure_time_seconds{job="a"}': "500x60", 'push_time_seconds{job="a"}': "600x60"},
        30,
        0,
    ),
    Case("SsPusherJobFailed", {'ss_pusher_job_success{job="backup"}': "0 _x60"}, 50, 1),
    Case("SsPusherJobFailed", {'ss_pusher_job_success{job="backup"}': "0 _x20 1 _x40"}, 50, 0),
    Case("SsPusherJobOverdue", {'ss_pusher_job_last_success_time_seconds{job="backup"}': "60 _x4000"}, 3000, 1),
    Case("SsPusherJobOverdue", {'ss_pusher_job_last_success_time_seconds{job="backup"}': "60 _x4000"}, 2000, 0),
]


def alerts() -> dict[str, str]:
    """The expression of each alert."""
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def promtool(*arguments: str) -> str:
    done = subprocess.run([needs.command("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_them() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", str(RULES))


def test_each_of_them_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert {(each.alert, bool(each.fires)) for each in CASES} == {
        (name, fires) for name in alerts() for fires in (True, False)
    }


@pytest.mark.parametrize("number", range(len(CASES)))
def test_an_alert_fires_exactly_when_it_should(number: int, tmp_path: Path) -> None:
    wanted = CASES[number]
    series = [{"series": name, "values": values} for name, values in wanted.series.items()]
    test = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{wanted.alert}", alertstate="firing"}}) or vector(0)',
                "eval_time": f"{wanted.minutes}m",
                "exp_samples": [{"labels": "{}", "value": wanted.fires}],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))


def test_they_name_only_metrics_that_there_are() -> None:
    named = set(re.findall(r"\b(?:ss_|push_)\w+", " ".join(alerts().values())))
    there = {family.name for family in (*TABLE, *outcome.FAMILIES)} | OF_A_PUSHGATEWAY
    assert named <= there
