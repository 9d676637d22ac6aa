"""The label of prometheus_ss_exporter, and which metrics its preset has."""

from ss_pusher import metrics
from ss_pusher.metrics import ss_exporter
from ss_pusher.metrics.ss_exporter import FOLDINGS, flow
from ss_pusher.model import OTHER, Preset

PEER = (("remote_address", "104.19.199.151"), ("remote_port", "443"))
NAMES = {
    "tcp_rtt",
    "tcp_cwnd",
    "tcp_delivery_rate",
    "tcp_data_segs_in",
    "tcp_data_segs_out",
    "tcp_rtt_hist_ms",
    "tcp_flows_total",
}


def test_a_flow_is_written_as_its_two_ends() -> None:
    labels = (("local_address", "192.168.10.58"), ("local_port", "39366"), *PEER)
    assert flow(labels, "raw_endpoint") == (("flow", "(SRC#192.168.10.58|39366)(DST#104.19.199.151|443)"),)


def test_a_flow_is_written_as_its_process_and_its_peer() -> None:
    assert flow((("pid", "20005"), *PEER), "pid_condensed") == (("flow", "(20005)(DST#104.19.199.151|443)"),)


def test_a_process_that_is_not_known_is_empty() -> None:
    assert flow(PEER, "pid_condensed") == (("flow", "()(DST#104.19.199.151|443)"),)


def test_the_remainder_is_one_word() -> None:
    for folding, by in FOLDINGS.items():
        assert flow(tuple((label, OTHER) for label in by), folding) == (("flow", OTHER),)


def test_the_preset_has_its_own_metrics_and_no_other_has_them() -> None:
    assert metrics.chosen(Preset.SS_EXPORTER, (), ()) == NAMES
    for preset in set(Preset) - {Preset.SS_EXPORTER}:
        assert not metrics.chosen(preset, (), ()) & NAMES


def test_metrics_of_ours_can_be_added_and_its_own_left_out() -> None:
    chosen = metrics.chosen(Preset.SS_EXPORTER, ("ss_flow_rtt_min_*",), ("tcp_data_*",))
    assert chosen == (NAMES | {"ss_flow_rtt_min_seconds"}) - {"tcp_data_segs_in", "tcp_data_segs_out"}


def test_no_name_is_a_metric_of_ours() -> None:
    names = [family.name for family, _ in metrics.families()]
    assert len(names) == len(set(names))
    assert ss_exporter.LABEL == "flow"
