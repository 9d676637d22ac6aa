"""What a configuration and a kernel make of the metrics and the rules."""

from ipaddress import ip_network
from pathlib import Path

from ss_pusher.app.collector import kernel_fields
from ss_pusher.app.plan import METRIC_NAMES, fields, make_plan, rules
from ss_pusher.config import Config, parse
from ss_pusher.ledger import NEEDS
from ss_pusher.model import AddressFamily, Direction, TcpState
from ss_pusher.netlink.tcp_info import FIELDS


def config(text: str) -> Config:
    return parse(text.encode(), "config.yml", directory=Path(), metric_names=METRIC_NAMES).config


def test_only_what_is_exported_or_ranked_by_is_read() -> None:
    few = config("metrics: {preset: essential, exclude: ['*']}\nlimit: {top: []}")
    assert {field.name for field in fields(make_plan(few, FIELDS))} == set(NEEDS)
    more = config("metrics: {preset: essential, exclude: ['*']}\nlimit: {top: [{by: rtt, count: 1}]}")
    plan = make_plan(more, FIELDS)
    assert {field.name for field in fields(plan)} == {*NEEDS, "rtt"}
    assert plan.exported == frozenset()
    assert plan.series_per_group == 0


def test_everything_that_the_kernel_tells_is_read_for_every_metric() -> None:
    plan = make_plan(config("metrics: {preset: all}"), FIELDS)
    assert plan.missing == ()
    assert len(fields(plan)) > len(FIELDS) - 15
    assert plan.series_per_group == sum(name.startswith("ss_flow_") for name in plan.exported)


def test_what_a_kernel_does_not_count_is_left_out_and_named() -> None:
    old = set(FIELDS) - {"bytes_retrans", "total_rto"}
    plan = make_plan(config("{}"), old)
    assert plan.missing == (
        "ss_flow_retransmitted_bytes_total",
        "ss_flow_rto_total",
        "ss_flow_sent_bytes_total",  # sent less retransmitted
        "ss_tcp_retransmitted_bytes_total",
        "ss_tcp_sent_bytes_total",
    )
    assert plan.exported.isdisjoint(plan.missing)
    assert {counter.family.name for counter in plan.counters}.isdisjoint(plan.missing)
    assert "ss_flow_received_bytes_total" in plan.exported


def test_a_metric_that_is_not_wanted_is_not_missed() -> None:
    plan = make_plan(config("metrics: {exclude: [ss_flow_rto_total]}"), set(FIELDS) - {"total_rto"})
    assert plan.missing == ()


def test_this_kernel_has_the_fields_that_every_supported_one_has() -> None:
    known = kernel_fields()
    assert known <= set(FIELDS)
    assert {"rtt", "min_rtt", "bytes_acked", "bytes_received", "segs_out", "receive_queue"} <= known


def test_every_condition_reaches_the_rule() -> None:
    text = """
filter:
  - drop:
      directions: [in]
      remote_networks: [10.0.0.0/8]
      service_ports: [443, 8000-8999]
      families: [ipv6]
      states: [time_wait]
      uids: [1000]
      units: [nginx.service]
      marks: ["0x1f"]
  - keep: {}
"""
    drop, keep = rules(config(text))
    assert (drop.keeps, keep.keeps) == (False, True)
    assert drop.directions == (Direction.IN,)
    assert drop.remote_networks == (ip_network("10.0.0.0/8"),)
    assert drop.service_ports == ((443, 443), (8000, 8999))
    assert drop.families == (AddressFamily.IPV6,)
    assert drop.states == (TcpState.TIME_WAIT,)
    assert drop.uids == (1000,)
    assert drop.units == ("nginx.service",)
    assert drop.marks == (31,)
    assert not any(getattr(keep, name) for name in keep.__slots__ if name != "keeps")
