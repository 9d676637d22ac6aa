"""The table of a summary, to the letter."""

from collections.abc import Mapping

import numpy as np

from ss_pusher.batch.summary import Summary
from ss_pusher.model import Block, Family, Labels, MetricType, Snapshot

NAMES = (
    "ss_flow_sent_bytes_total",
    "ss_flow_received_bytes_total",
    "ss_flow_retransmitted_segments_total",
    "ss_flow_rtt_max_seconds",
)


def snapshot(rows: Mapping[Labels, tuple[float, ...]], names: tuple[str, ...] = NAMES) -> Snapshot:
    families = tuple(Family(name, MetricType.GAUGE, "") for name in names)
    values = np.array(list(rows.values()), np.float64).reshape(-1, len(names)).T
    return Snapshot(1, 0, (Block(families, tuple(rows), values, np.zeros(len(rows), np.int64)),))


def flow(address: str, port: str = "443", **more: str) -> Labels:
    return tuple(sorted({"direction": "out", "remote_address": address, "service_port": port, **more}.items()))


def test_the_most_bytes_come_first_and_the_worst_rtt_is_remembered() -> None:
    summary = Summary()
    summary.observe(snapshot({flow("10.0.0.1"): (10, 2000, 0, 0.25)}))
    rows = {
        flow("10.0.0.1"): (100, 2000, 3, 0.002),
        flow("2001:db8::7", unit="a.service"): (5 << 30, 0, 0, float("nan")),
        (("direction", "out"), ("remote_address", "other"), ("service_port", "other")): (0, 0, 0, float("nan")),
    }
    summary.observe(snapshot(rows))
    assert summary.text(0) == (
        "peer                                 sent  received   worst rtt  retransmits\n"
        "[2001:db8::7]:443 unit=a.service  5.0 GiB       0 B           -            0\n"
        "10.0.0.1:443                        100 B   2.0 KiB  250.000 ms            3\n"
    )


def test_what_is_not_exported_is_a_dash() -> None:
    summary = Summary()
    summary.observe(snapshot({flow("10.0.0.1"): (100,)}, NAMES[:1]))
    assert summary.text(0).splitlines()[1].split() == ["10.0.0.1:443", "100", "B", "-", "-", "-"]


def test_nobody_is_said_too() -> None:
    assert Summary().text(0) == "it talked to nobody that could be seen\n"


def test_what_nobody_knows_is_said() -> None:
    words = "connections of this host that closed between two looks, and whose they were is unknown: 3"
    assert Summary().text(3).splitlines()[-1] == words
