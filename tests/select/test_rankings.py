"""Every ranking, and that the metrics it reads exist."""

import numpy as np
import pytest

from ss_pusher.metrics import COUNTERS, GAUGES
from ss_pusher.select import RANKINGS, ranking
from tests.select.build import RECEIVED, RETRANSMITTED, RTT, RTT_LEAST, SEGMENTS, SENT, key, tick

KEYS = [key("192.0.2.1"), key("192.0.2.2")]


def score(name: str, values: dict[str, list[float]], sockets: list[int] | None = None) -> list[float]:
    return [float(value) for value in ranking(name).score(tick(KEYS, values, sockets), 10.0)]


def test_throughput_is_bytes_a_second_both_ways() -> None:
    assert score("throughput", {SENT: [100, 20], RECEIVED: [50, 0]}) == [15, 2]


def test_retransmits_are_counted_a_second() -> None:
    assert score("retransmits", {RETRANSMITTED: [5, 0]}) == [0.5, 0]


def test_the_retransmit_ratio_is_that_of_segments_and_of_ten_at_least() -> None:
    assert score("retransmit_ratio", {RETRANSMITTED: [5, 1], SEGMENTS: [20, 1]}) == [0.25, 0.1]


def test_rtt_is_the_mean() -> None:
    assert score("rtt", {RTT: [0.25, 0.5]}) == [0.25, 0.5]


def test_rtt_inflation_is_how_many_times_the_least() -> None:
    inflated, unknown = score("rtt_inflation", {RTT: [0.5, 0.5], RTT_LEAST: [0.125, np.nan]})
    assert inflated == 4
    assert np.isnan(unknown)


def test_flows_are_the_open_sockets() -> None:
    assert score("flows", {}, [3, 0]) == [3, 0]


def test_a_counter_ranks_by_its_rate_in_its_own_unit() -> None:
    busy = next(c for c in COUNTERS if c.family.name == "ss_flow_busy_seconds_total")
    groups = tick(KEYS)
    counters = np.array([[2_000_000, 0]])
    groups = type(groups)((busy,), (), groups.keys, groups.sockets, counters, groups.gauges[:0], groups.weights[:0])
    assert ranking("ss_flow_busy_seconds_total").score(groups, 10.0).tolist() == [0.2, 0]


def test_a_gauge_ranks_by_its_value() -> None:
    assert score(RTT_LEAST, {RTT_LEAST: [0.5, 0.25]}) == [0.5, 0.25]


@pytest.mark.parametrize("name", [known.name for known in RANKINGS])
def test_a_ranking_needs_metrics_that_exist_and_says_so_when_one_is_not_there(name: str) -> None:
    assert set(ranking(name).needs) <= {c.family.name for c in COUNTERS} | {g.family.name for g in GAUGES}
    groups = tick(KEYS)
    bare = type(groups)((), (), groups.keys, groups.sockets, groups.counters[:0], groups.gauges[:0], groups.weights[:0])
    if ranking(name).needs:
        with pytest.raises(LookupError, match="ss_flow_"):
            ranking(name).score(bare, 10.0)


def test_an_unknown_ranking_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no ranking 'speed'; there are throughput, retransmits, .*ss_flow_"):
        ranking("speed")
