"""The agent's metrics about itself."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ss_pusher.model import MetricType
from ss_pusher.telemetry import TABLE, Telemetry

PACKAGE = Path(__file__).parent.parent / "ss_pusher"
TICKS = "ss_pusher_ticks_total"


def test_every_metric_is_declared_once_with_a_help_of_one_line() -> None:
    names = [family.name for family in TABLE]
    assert len(set(names)) == len(names)
    assert all(name.startswith("ss_pusher_") for name in names)
    assert all(family.help.endswith(".") and "\n" not in family.help for family in TABLE)


def test_counters_and_no_others_end_in_total_and_units_stand_before_it() -> None:
    for family in TABLE:
        assert family.name.endswith("_total") == (family.type is MetricType.COUNTER), family.name
        assert family.unit in ("", "seconds", "bytes")
        base = family.name.removesuffix("_total")
        for unit in ("seconds", "bytes"):
            assert base.endswith(f"_{unit}") == (family.unit == unit), family.name


def test_every_metric_that_is_declared_is_counted_somewhere_and_the_other_way_round() -> None:
    sources = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "telemetry.py")
    used = set(re.findall(r'"(ss_pusher_[a-z_]+)"', sources))
    assert used == {family.name for family in TABLE}


def test_counters_add_up_for_each_set_of_labels_and_gauges_hold_the_last_value() -> None:
    telemetry = Telemetry()
    telemetry.add(TICKS, outcome="ok")
    telemetry.add(TICKS, 2, outcome="ok")
    telemetry.add(TICKS, outcome="failed")
    telemetry.set("ss_pusher_series", 7)
    telemetry.set("ss_pusher_series", 5)
    assert telemetry.value(TICKS, outcome="ok") == 3
    assert telemetry.value(TICKS, outcome="failed") == 1
    assert telemetry.value("ss_pusher_series") == 5
    assert telemetry.value(TICKS, outcome="clock_behind") == 0


def test_what_is_not_declared_cannot_be_counted() -> None:
    telemetry = Telemetry()
    with pytest.raises(KeyError):
        telemetry.add("ss_pusher_tickz_total")
    with pytest.raises(TypeError, match="ss_pusher_series is no counter"):
        telemetry.add("ss_pusher_series")
    with pytest.raises(TypeError, match=f"{TICKS} is no gauge"):
        telemetry.set(TICKS, 1)


def test_all_that_has_a_value_is_exported_with_sorted_labels_and_its_start() -> None:
    telemetry = Telemetry()
    assert telemetry.blocks(1000) == ()
    assert telemetry.value("ss_pusher_groups") == 0  # to ask is not to count
    telemetry.add("ss_pusher_samples_dropped_total", 3, reason="too_old", endpoint="mimir")
    telemetry.add("ss_pusher_samples_dropped_total", 4, endpoint="thanos", reason="refused")
    telemetry.set("ss_pusher_series", 0)
    dropped, series = telemetry.blocks(1000)
    assert [family.name for family in dropped.families] == ["ss_pusher_samples_dropped_total"]
    assert dropped.labels == (
        (("endpoint", "mimir"), ("reason", "too_old")),
        (("endpoint", "thanos"), ("reason", "refused")),
    )
    np.testing.assert_array_equal(dropped.values, [[3, 4]])
    np.testing.assert_array_equal(dropped.start_ms, [1000, 1000])
    np.testing.assert_array_equal(series.values, [[0]])


def test_what_is_counted_for_the_first_time_began_at_the_tick_before() -> None:
    telemetry = Telemetry()
    telemetry.add(TICKS, outcome="ok")
    telemetry.blocks(1000)
    telemetry.add(TICKS, outcome="failed")
    for previous_ms in (2000, 3000):
        (ticks,) = telemetry.blocks(previous_ms)
        assert dict(zip(ticks.labels, ticks.start_ms.tolist(), strict=True)) == {
            (("outcome", "ok"),): 1000,
            (("outcome", "failed"),): 2000,
        }


def test_starts_move_with_a_clock_that_was_wrong() -> None:
    telemetry = Telemetry()
    telemetry.add(TICKS, outcome="ok")
    telemetry.blocks(1000)
    telemetry.move(-400)
    assert telemetry.blocks(5000)[0].start_ms.tolist() == [600]


def test_what_comes_back_after_it_was_forgotten_begins_anew() -> None:
    telemetry = Telemetry()
    telemetry.add("ss_pusher_samples_total", endpoint="a")
    telemetry.blocks(1000)
    telemetry.forget(endpoint="a")
    telemetry.add("ss_pusher_samples_total", endpoint="a")
    assert telemetry.blocks(5000)[0].start_ms.tolist() == [5000]


def test_nothing_that_any_thread_counts_is_lost() -> None:
    telemetry = Telemetry()

    def count(_: int) -> None:
        for _ in range(2000):
            telemetry.add(TICKS, outcome="ok")
            telemetry.blocks(0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert telemetry.value(TICKS, outcome="ok") == 8000


def test_what_is_gone_is_forgotten_and_the_rest_not() -> None:
    telemetry = Telemetry()
    for endpoint in ("a", "b"):
        telemetry.add("ss_pusher_samples_dropped_total", 3, endpoint=endpoint, reason="too_old")
        telemetry.set("ss_pusher_samples_pending", 5, endpoint=endpoint)
    telemetry.forget(endpoint="a")
    labels = [labels for block in telemetry.blocks(0) for labels in block.labels]
    assert labels == [(("endpoint", "b"), ("reason", "too_old")), (("endpoint", "b"),)]
