"""The declarations of metrics: names as the field expects them, and nothing of what the kernel tells left out."""

import re

import pytest

from ss_pusher import metrics
from ss_pusher.model import FlowCounter, FlowGauge, LedgerField, MetricType, Preset
from ss_pusher.netlink.tcp_info import FIELDS

OURS = {family.name: family for family, preset in metrics.families() if preset is not Preset.SS_EXPORTER}
"""Without those that are named as another exporter names them."""
COUNTERS = [counter for counter in metrics.COUNTERS if counter.preset is not Preset.SS_EXPORTER]
GAUGES = [gauge for gauge in metrics.GAUGES if gauge.preset is not Preset.SS_EXPORTER]
BASE_UNITS = ("seconds", "bytes")

SETTLED = {
    "ss_tcp_sockets",
    "ss_tcp_sent_bytes_total",
    "ss_tcp_received_bytes_total",
    "ss_tcp_retransmitted_bytes_total",
    "ss_tcp_sent_segments_total",
    "ss_tcp_received_segments_total",
    "ss_tcp_retransmitted_segments_total",
    "ss_tcp_flows_opened_total",
    "ss_tcp_flows_closed_total",
    "ss_tcp_connect_failures_total",
    "ss_tcp_rtt_seconds",
    "ss_tcp_closed_flow_bytes",
    "ss_flow_sockets",
    "ss_flow_rtt_seconds",
    "ss_flow_rtt_max_seconds",
    "ss_flow_rtt_min_seconds",
    "ss_flow_cwnd_segments",
    "ss_flow_delivery_rate_bytes_per_second",
    "ss_flow_sent_bytes_total",
    "ss_flow_received_bytes_total",
    "ss_flow_retransmitted_bytes_total",
    "ss_flow_sent_segments_total",
    "ss_flow_received_segments_total",
    "ss_flow_retransmitted_segments_total",
    "ss_flow_busy_seconds_total",
    "ss_flow_receiver_limited_seconds_total",
    "ss_flow_sender_limited_seconds_total",
    "ss_flow_unacked_segments",
    "ss_flow_notsent_bytes",
    "ss_flow_lost_segments",
    "ss_flow_ecn_marked_total",
    "ss_flow_rto_total",
}
"""Names that users and their dashboards rely on."""

NOT_EXPORTED = {
    "state": "ss_tcp_sockets counts sockets by state",
    "options": "a set of bits, negotiated once",
    "snd_wscale": "a constant of the connection; the windows are exported in bytes",
    "rcv_wscale": "a constant of the connection; the windows are exported in bytes",
    "fastopen_client_fail": "an enumeration, which no fold makes a number of",
    "fackets": "not maintained since Linux 4.15: always 0",
    "last_ack_sent": "not remembered by the kernel: always 0",
    "timer": "an enumeration, which no fold makes a number of",
    "timer_retransmits": "what it counts depends on the timer; retransmits, probes and backoff are exported",
    "timer_expires": "what it counts depends on the timer",
}


def fields() -> set[str]:
    """All that metrics read of the kernel."""
    counted = {name for counter in metrics.COUNTERS for name in (counter.field, counter.minus)}
    gauged = {name for gauge in metrics.GAUGES for name in (gauge.field, gauge.unless)}
    return (counted | gauged) - {""} - set(LedgerField)


def test_no_name_is_declared_twice() -> None:
    names = [family.name for family, _ in metrics.families()]
    assert len(set(names)) == len(names)


def test_the_names_that_users_rely_on_are_there() -> None:
    assert SETTLED - set(OURS) == set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_family_is_named_and_explained_as_receivers_expect(name: str) -> None:
    family = OURS[name]
    assert re.fullmatch(r"ss_(tcp|flow)(_[a-z0-9]+)+", name)
    assert name.endswith("_total") == (family.type is MetricType.COUNTER)
    assert not name.endswith(("_count", "_sum", "_bucket", "_info"))
    assert "millisecond" not in name
    assert "kilobyte" not in name
    assert family.help.endswith(".")
    assert family.help.isprintable()
    base = name.removesuffix("_total")
    per_second = "_per_second"
    for unit in BASE_UNITS:
        assert base.endswith(f"_{unit}") == (family.unit == unit)
    assert family.unit in ("", *BASE_UNITS) or base.endswith(per_second)


def test_every_field_that_is_read_is_one_of_the_kernel() -> None:
    assert fields() - set(FIELDS) == set()


def test_every_field_of_the_kernel_is_exported_or_there_is_a_reason() -> None:
    assert set(FIELDS) - fields() == set(NOT_EXPORTED)


def test_everything_the_ledger_counts_is_exported() -> None:
    assert {counter.field for counter in metrics.COUNTERS} & set(LedgerField) == set(LedgerField)


@pytest.mark.parametrize("declared", [*COUNTERS, *GAUGES], ids=lambda declared: declared.family.name)
def test_times_are_scaled_to_seconds_and_only_they(declared: FlowCounter | FlowGauge) -> None:
    assert (declared.per > 1) == (declared.family.unit == "seconds")


@pytest.mark.parametrize("counter", COUNTERS, ids=lambda counter: counter.family.name)
def test_a_total_of_the_host_says_the_same_as_the_groups_counter(counter: FlowCounter) -> None:
    if counter.host is not None:
        assert counter.host.name == counter.family.name.replace("ss_flow_", "ss_tcp_", 1)
        assert counter.host.unit == counter.family.unit
        assert counter.host.help.startswith(counter.family.help)


def test_each_preset_has_more_than_the_one_before_and_all_has_everything() -> None:
    presets = (Preset.ESSENTIAL, Preset.STANDARD, Preset.ALL)
    essential, standard, everything = (metrics.chosen(preset, (), ()) for preset in presets)
    assert essential < standard < everything
    assert everything == set(OURS)
    assert {"ss_flow_sockets", "ss_flow_rtt_seconds", "ss_tcp_sockets"} <= essential
    assert {name for name in OURS if name.startswith("ss_tcp_")} <= essential


def test_include_adds_and_exclude_takes_away_after_it() -> None:
    standard = metrics.chosen(Preset.STANDARD, (), ())
    changed = metrics.chosen(Preset.STANDARD, ["ss_flow_rt*", "ss_flow_backoff"], ["ss_flow_rto*"])
    added = {"ss_flow_backoff", "ss_flow_rtt_variation_seconds"}
    assert changed - standard == added
    assert standard - changed == {"ss_flow_rto_total"}
    assert metrics.chosen(Preset.ALL, (), ["*"]) == frozenset()
