"""Configurations of prometheus_ss_exporter become ours, with the selection that they had."""

import re
from pathlib import Path

import pytest

from ss_pusher.config import Config
from ss_pusher.config.ss_exporter import converted
from ss_pusher.errors import ConfigError
from tests import command
from tests.config.parsing import config, loaded, problems

OLD = """
logic:
  metrics:
    histograms: {active: true, latency: {active: true, bucket_bounds: [.10, 0.5, 1.00, 500]}}
    gauges: {active: true, rtt: {active: true}, cwnd: {active: True}, delivery_rate: {active: true}}
    counters: {active: true, data_segs_in: {active: true}, data_segs_out: {active: true}}
  compression: {label_folding: {origin: pid_condensed}}     # or raw_endpoint
  selection:
    process: {pids: [200, 1500], cmds: [firefox]}
    peering:
      addresses: [8.8.4.4]
      networks: [169.254.0.0/16]
      hosts: [example.org]
      portranges: [{lower: 2000, upper: 10000}]
"""
NEW = """
logic:
  metrics:
    histograms: {active: true, rtt: {active: true, bucketBounds: [0.1, 0.5, 1.0, 500]}}
    gauges: {active: true, rtt: {active: true}, cwnd: {active: true}, deliveryRate: {active: true}}
    counters: {active: true, dataSegsIn: {active: true}, dataSegsOut: {active: true}}
  compression: {labelFolding: pid_condensed}
  selection:
    process: {pids: [200, 1500], cmds: [firefox]}
    peering: {addresses: [8.8.4.4], networks: [169.254.0.0/16], hosts: [example.org]}
    portRanges: [{lower: 2000, upper: 10000}]
"""


def ours(text: str) -> Config:
    """What the configuration becomes, read back from what is printed."""
    return config(converted(text.encode(), "cnfg.yml").text)


def rules(text: str) -> list[tuple[bool, dict[str, list[str]]]]:
    """Each rule: whether it keeps, and its conditions as texts."""
    return [
        (
            rule.keeps,
            {
                name: [str(value) for value in values]
                for name in rule.conditions.__struct_fields__
                if (values := getattr(rule.conditions, name))
            },
        )
        for rule in ours(text).filter
    ]


def test_the_command_prints_it_and_names_on_stderr_what_it_left_out(tmp_path: Path) -> None:
    (tmp_path / "cnfg.yml").write_text(NEW + "    stack: {}\n")
    done = command.run("convert-config", str(tmp_path / "cnfg.yml"))
    assert done.returncode == 0
    assert config(done.stdout) == ours(NEW)
    assert re.fullmatch(r"ss-pusher: .*cnfg.yml:12: logic.selection.stack: unknown key; .*; left out\n", done.stderr)


def test_the_command_refuses_another_file(tmp_path: Path) -> None:
    (tmp_path / "cnfg.yml").write_text("interval: 15s\n")
    for name in ("cnfg.yml", "none.yml"):
        done = command.run("convert-config", str(tmp_path / name))
        assert (done.returncode, done.stdout) == (2, "")
        assert name in done.stderr


def logic(*, metrics: str = "{}", selection: str = "{}") -> str:
    """A configuration in the spelling of 3.x with these parts."""
    return f"logic: {{metrics: {metrics}, selection: {selection}}}"


@pytest.mark.parametrize("text", [OLD, NEW], ids=["2.x", "3.x"])
def test_both_spellings_give_the_metrics_of_before(text: str) -> None:
    found = ours(text)
    assert found.metrics.preset == "ss_exporter"
    assert found.metrics.exclude == ()
    assert found.metrics.ss_exporter.flow == "pid_condensed"
    assert found.metrics.ss_exporter.rtt_buckets_ms == (0.1, 0.5, 1.0, 500.0)
    assert found.collect.loopback  # they were seen
    assert found.external_labels == {}  # the scraper's are the only ones, as before
    assert str(found.expose.listen_address) == ":8443"  # of the variable PORT


def test_in_2_x_a_flow_is_kept_that_any_part_of_the_selection_fits() -> None:
    assert rules(OLD) == [
        (True, {"pids": ["200", "1500"]}),
        (True, {"commands": ["firefox"]}),
        (True, {"remote_networks": ["8.8.4.4/32", "169.254.0.0/16"]}),
        (True, {"hosts": ["example.org"]}),
        (True, {"local_ports": ["2000-10000"]}),
        (False, {}),
    ]


def test_in_3_x_a_flow_is_kept_that_every_part_of_the_selection_fits() -> None:
    ports = {"local_ports": ["2000-10000"]}
    networks = {"remote_networks": ["8.8.4.4/32", "169.254.0.0/16"]}
    assert rules(NEW) == [
        (True, {"pids": ["200", "1500"], **networks, **ports}),
        (True, {"pids": ["200", "1500"], "hosts": ["example.org"], **ports}),
        (True, {"commands": ["firefox"], **networks, **ports}),
        (True, {"commands": ["firefox"], "hosts": ["example.org"], **ports}),
        (False, {}),
    ]


@pytest.mark.parametrize("selection", ["", "{}", "{process: , peering: {addresses: []}}", "{process: {pids: []}}"])
def test_a_selection_that_names_nothing_is_no_filter(selection: str) -> None:
    assert rules(f"logic:\n  selection: {selection}\n") == []


def test_that_port_ranges_are_taken_for_local_ports_is_said() -> None:
    assert "local ports" in converted(NEW.encode(), "cnfg.yml").text
    assert "local ports" not in converted(logic().encode(), "cnfg.yml").text


def test_a_range_of_one_port_and_one_from_0_are_written_as_ours() -> None:
    selection = "{portRanges: [{lower: 443, upper: 443}, {lower: 0, upper: 80}]}"
    assert rules(logic(selection=selection))[0] == (True, {"local_ports": ["443", "1-80"]})


def test_a_command_line_becomes_the_name_that_the_kernel_keeps() -> None:
    selection = "{process: {cmds: [/usr/lib/firefox/firefox -P x, a-name-of-twenty-bytes, '[weird]']}}"
    assert rules(logic(selection=selection))[0] == (True, {"commands": ["firefox", "a-name-of-twent", "[[]weird]"]})


def test_what_is_switched_off_stays_off() -> None:
    gauges = "{active: true, cwnd: {active: false}, deliveryRate: {active: false}}"
    metrics = f"{{histograms: {{active: true, rtt: {{active: true}}}}, gauges: {gauges}, counters: {{active: false}}}}"
    found = ours(logic(metrics=metrics)).metrics.exclude
    assert found == ("tcp_cwnd", "tcp_delivery_rate", "tcp_data_segs_in", "tcp_data_segs_out")


def test_a_histogram_that_is_not_mentioned_is_off() -> None:
    assert ours(logic()).metrics.exclude == ("tcp_rtt_hist_ms",)
    assert ours(logic(metrics="{histograms: {active: false}}")).metrics.exclude == ("tcp_rtt_hist_ms",)
    assert ours(logic(metrics="{histograms: {active: true}}")).metrics.exclude == ("tcp_rtt_hist_ms",)


def test_unknown_keys_are_left_out_and_named_with_their_line() -> None:
    text = "logic:\n  selection:\n    stack: {}\n    process: {pid: [1]}\nport: 8020\n"
    assert [line.partition(";")[0] for line in converted(text.encode(), "cnfg.yml").ignored] == [
        "cnfg.yml:3: logic.selection.stack: unknown key",
        "cnfg.yml:4: logic.selection.process.pid: unknown key",
        "cnfg.yml:5: port: unknown key",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("interval: 15s", "cnfg.yml: is no configuration of prometheus_ss_exporter: it has no key logic"),
        ("- 1", "cnfg.yml:1: expects keys with values, like `interval: 15s`"),
        (
            logic(selection="{process: {pids: [x]}}"),
            "cnfg.yml:1: logic.selection.process.pids[0]: 'x' is no whole number",
        ),
        (
            logic(selection="{portRanges: [{lower: 9, upper: 8}]}"),
            "cnfg.yml:1: logic.selection.portRanges[0]: is no range of ports",
        ),
        (
            logic(metrics="{histograms: {rtt: {bucketBounds: [5, 0]}}}"),
            "cnfg.yml:1: logic.metrics.histograms.rtt.bucketBounds[1]: must be more than 0",
        ),
    ],
)
def test_a_file_that_is_none_of_theirs_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        converted(text.encode(), "cnfg.yml")
    assert raised.value.problems == [problem]


def test_one_of_theirs_in_the_place_of_ours_is_told_what_to_do() -> None:
    (problem,) = problems(NEW)
    assert "is a configuration of prometheus_ss_exporter; `ss-pusher convert-config config.yml` prints one" in problem


def test_the_preset_says_that_it_does_not_group_as_configured() -> None:
    (warning,) = loaded("group: {by: [unit]}\nmetrics: {preset: ss_exporter}\n").warnings
    assert warning.startswith("config.yml:1: group.by: has no effect with the preset ss_exporter")
    assert loaded("metrics: {preset: ss_exporter}").warnings == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "external_labels: {flow: x}\nmetrics: {preset: ss_exporter}\n",
            "config.yml:1: external_labels.flow: is also the label of the preset ss_exporter; choose another name",
        ),
        (
            "metrics: {ss_exporter: {rtt_buckets_ms: [1, 5, 5]}}",
            "config.yml:1: metrics.ss_exporter.rtt_buckets_ms[2]: must be more than the one before",
        ),
        (
            "metrics: {ss_exporter: {rtt_buckets_ms: [1, x]}}",
            "config.yml:1: metrics.ss_exporter.rtt_buckets_ms[1]: 'x' is no number; write one like 0.1 or 500",
        ),
    ],
)
def test_what_the_preset_cannot_do_is_a_mistake(text: str, problem: str) -> None:
    assert problems(text) == [problem]
