"""The agent's metrics about itself: declared once in `TABLE`, counted from any thread, read by the tick."""

import threading
from collections import defaultdict
from typing import Final

import numpy as np

from ss_pusher.model import Block, Family, Labels, MetricType


def _counter(name: str, text: str, unit: str = "") -> Family:
    return Family(name, MetricType.COUNTER, text, unit)


def _gauge(name: str, text: str, unit: str = "") -> Family:
    return Family(name, MetricType.GAUGE, text, unit)


TABLE: Final[tuple[Family, ...]] = (
    # the tick
    _counter(
        "ss_pusher_ticks_total",
        "Ticks, by outcome: ok, failed (the sockets could not be read), and, with nothing exported, clock_behind or"
        " clock_not_set.",
    ),
    _counter(
        "ss_pusher_ticks_missed_total",
        "Ticks that were due while the one before still ran or the host slept.",
    ),
    _counter(
        "ss_pusher_stage_seconds_total",
        "Time spent in each stage of the tick, on the wall clock.",
        unit="seconds",
    ),
    _counter("ss_pusher_closed_flow_events_total", "Announcements of closed sockets that were received."),
    _counter(
        "ss_pusher_closed_flow_events_lost_total",
        "Announcements of closed sockets that the kernel or this agent had no room for.",
    ),
    _gauge(
        "ss_pusher_sockets_read",
        "Sockets that the kernel handed over in the last tick, listening ones included.",
    ),
    _gauge("ss_pusher_groups", "Groups of flows seen in the last tick."),
    _gauge("ss_pusher_groups_exported", "Groups of flows that have series of their own."),
    _gauge("ss_pusher_series", "Series in the last push, those of the agent itself included."),
    _counter("ss_pusher_new_series_total", "Series that began: groups that entered, times the series of each."),
    _counter("ss_pusher_groups_evicted_total", "Groups that lost the series of their own."),
    _gauge("ss_pusher_groups_refused", "Groups in the remainder in the last tick, by the limit that put them there."),
    _gauge("ss_pusher_coverage_ratio", "Share of the last tick that is not in the remainder."),
    # each endpoint; the words after ss_pusher_ are those of prometheus_remote_storage_
    _counter("ss_pusher_samples_total", "Samples that were handed to the endpoint's queue."),
    _counter("ss_pusher_samples_sent_total", "Samples that the endpoint accepted."),
    _counter("ss_pusher_samples_retried_total", "Samples in requests that failed and were tried again."),
    _counter("ss_pusher_samples_dropped_total", "Samples given up, by reason."),
    _counter(
        "ss_pusher_spool_damaged_total", "Places of the endpoint's spool that could not be read, and were skipped."
    ),
    _gauge("ss_pusher_samples_pending", "Samples in the endpoint's queue."),
    _gauge("ss_pusher_queue_bytes", "Bytes in the endpoint's queue.", unit="bytes"),
    _counter("ss_pusher_sent_bytes_total", "Bytes of request bodies that the endpoint accepted.", unit="bytes"),
    _counter("ss_pusher_requests_total", "Requests, by outcome: accepted, rejected, retry, held, split or downgrade."),
    _counter("ss_pusher_request_seconds_total", "Time spent in requests, answers included.", unit="seconds"),
    _gauge(
        "ss_pusher_queue_highest_sent_timestamp_seconds",
        "Highest timestamp of any sample that the endpoint accepted.",
        unit="seconds",
    ),
    _gauge(
        "ss_pusher_clock_ahead_seconds",
        "How far this host's clock is ahead of the endpoint's, give or take a second, by the Date of its last answer.",
        unit="seconds",
    ),
)


class Telemetry:
    """The values of the families in `TABLE`. Safe to use from any thread."""

    def __init__(self) -> None:
        self._families = {family.name: family for family in TABLE}
        self._values: defaultdict[str, dict[Labels, float]] = defaultdict(dict)
        self._start_ms: defaultdict[str, dict[Labels, int]] = defaultdict(dict)
        self._lock = threading.Lock()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to a counter; `name` must stand in `TABLE`."""
        self._check(name, MetricType.COUNTER)
        key = tuple(sorted(labels.items()))
        with self._lock:
            series = self._values[name]
            series[key] = series.get(key, 0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge; `name` must stand in `TABLE`."""
        self._check(name, MetricType.GAUGE)
        with self._lock:
            self._values[name][tuple(sorted(labels.items()))] = value

    def forget(self, **labels: str) -> None:
        """Drop every series that has these labels: what they were about is gone."""
        with self._lock:
            for name, series in self._values.items():
                self._values[name] = {key: value for key, value in series.items() if not labels.items() <= set(key)}
                self._start_ms[name] = {
                    key: ms for key, ms in self._start_ms[name].items() if key in self._values[name]
                }

    def value(self, name: str, **labels: str) -> float:
        """The current value; 0 for what was never counted."""
        with self._lock:
            return self._values[name].get(tuple(sorted(labels.items())), 0)

    def blocks(self, previous_ms: int) -> tuple[Block, ...]:
        """All that has a value, one block a family. What is new since the last call began at 0 at `previous_ms`."""
        with self._lock:
            current = {name: dict(series) for name, series in self._values.items() if series}
            for name, series in current.items():
                self._start_ms[name] = dict.fromkeys(series, previous_ms) | self._start_ms[name]
            starts = {name: [self._start_ms[name][key] for key in series] for name, series in current.items()}
        return tuple(
            Block(
                families=(self._families[name],),
                labels=tuple(series),
                values=np.array([list(series.values())], dtype=np.float64),
                start_ms=np.array(starts[name], dtype=np.int64),
            )
            for name, series in current.items()
        )

    def move(self, milliseconds: int) -> None:
        """Move the starts of all series: the clock that gave them was wrong by so much."""
        with self._lock:
            for series in self._start_ms.values():
                series.update({key: start_ms + milliseconds for key, start_ms in series.items()})

    def _check(self, name: str, kind: MetricType) -> None:
        if self._families[name].type is not kind:
            raise TypeError(f"{name} is no {kind}")
