"""When ticks are due, what time they bear, and what becomes of those that fail."""

import logging
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.loop import PATIENCE_MS, Clock, Loop, Stages, Timeline
from ss_pusher.telemetry import Telemetry

INTERVAL = 15.0
UNIX = 1_700_000_000.0


class Time:
    """A clock set by hand, and a stop that comes after some waits: each takes exactly as long as is asked for."""

    def __init__(self, waits: int) -> None:
        self.now = 0.0
        self.waits_left = waits

    def is_set(self) -> bool:
        return self.waits_left < 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits_left -= 1
        if self.waits_left >= 0:
            self.now += timeout or 0
        return self.is_set()

    def clock(self) -> Clock:
        return Clock(wall=lambda: UNIX + self.now, monotonic=lambda: self.now)


def run(waits: int, took: Callable[[int], float] = lambda _tick: 0.001) -> tuple[list[float], Telemetry]:
    """When each tick of a loop began, if the nth takes `took(n)` seconds; the stop comes in the wait after `waits`."""
    time, telemetry = Time(waits), Telemetry()
    began: list[float] = []

    def tick(_time_ms: int, _export: object) -> None:
        began.append(time.now)
        time.now += took(len(began))

    Loop(tick, INTERVAL, time.clock(), telemetry).run(time)
    return began, telemetry


# ---- when ticks are due ---------------------------------------------------------------------------------------------


def test_it_ticks_at_once_then_at_the_interval_and_once_more_when_it_is_stopped() -> None:
    began, telemetry = run(waits=3)
    assert began == pytest.approx([0, 15, 30, 45, 45.001])
    assert telemetry.value("ss_pusher_ticks_total", outcome="ok") == 5
    assert telemetry.value("ss_pusher_ticks_missed_total") == 0


def test_a_stop_before_the_first_tick_leaves_the_last_one() -> None:
    began, _ = run(waits=-1)
    assert began == [0]


def test_ticks_keep_their_places_however_long_each_takes() -> None:
    began, _ = run(waits=4, took=lambda tick: tick * 2.5)
    assert began[:5] == [0, 15, 30, 45, 60]


@pytest.mark.parametrize(
    ("seconds", "next_tick", "missed"),
    [(14.9, 15, 0), (15, 15, 0), (15.1, 30, 1), (29.9, 30, 1), (37.5, 45, 2), (3600, 3615, 240)],
)
def test_ticks_that_come_too_late_are_left_out_and_counted(seconds: float, next_tick: float, missed: int) -> None:
    began, telemetry = run(waits=1, took=lambda tick: seconds if tick == 1 else 0)
    assert began[1] == next_tick
    assert telemetry.value("ss_pusher_ticks_missed_total") == missed


def test_the_time_of_each_stage_is_added_up_also_when_it_fails() -> None:
    telemetry, times = Telemetry(), iter([0.0, 2.0, 10.0, 10.5])
    stages = Stages(telemetry, lambda: next(times))
    with stages("collect"):
        pass
    with pytest.raises(CollectError), stages("collect"):
        raise CollectError("no")
    assert stages.seconds == {"collect": 2.5}
    assert telemetry.value("ss_pusher_stage_seconds_total", stage="collect") == 2.5


# ---- what time they bear --------------------------------------------------------------------------------------------


def timeline(*seconds: float) -> list[tuple[float, bool]]:
    """The times that a timeline gives when the clock shows these, in seconds, and which may be exported."""
    shown = iter(seconds)
    line = Timeline(lambda: next(shown))
    return [(time_ms / 1000, export) for time_ms, export in (line.next() for _ in seconds)]


def test_a_tick_bears_the_time_of_the_clock() -> None:
    assert timeline(100, 115.25, 130) == [(100, True), (115.25, True), (130, True)]


def test_a_clock_set_forward_is_believed() -> None:
    assert timeline(100, 90_000, 90_015) == [(100, True), (90_000, True), (90_015, True)]


def test_while_a_clock_set_back_is_behind_nothing_is_exported_and_time_goes_on() -> None:
    assert timeline(100, 70, 85, 100, 115) == [
        (100, True),
        (100.001, False),
        (100.002, False),
        (100.003, False),
        (115, True),
    ]


def test_a_clock_set_far_back_is_believed_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert timeline(10_000, 9400, 9415) == [(10_000, True), (9400, True), (9415, True)]
    assert [record.getMessage() for record in caplog.records] == [
        "the clock was set back by 600 s: samples go on from its new time"
    ]


@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=30))
def test_whatever_a_clock_does_no_time_is_repeated_and_time_only_goes_back_with_it(shown: list[int]) -> None:
    times = iter(shown)
    line = Timeline(lambda: next(times) / 1000)
    last_ms = 0
    for wall_ms in shown:
        time_ms, export = line.next()
        assert time_ms > last_ms or (export and last_ms - time_ms >= PATIENCE_MS)
        assert not export or abs(time_ms - wall_ms) <= 1  # a float holds it but nearly
        last_ms = time_ms


# ---- what becomes of a tick that fails ------------------------------------------------------------------------------


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO):
        yield caplog


def outcomes(*results: Exception | None) -> tuple[list[bool], Telemetry]:
    """Tick once for each result, which the tick raises if it is an exception."""
    left, telemetry = list(results), Telemetry()

    def tick(_time_ms: int, _export: object) -> None:
        result = left.pop(0)
        if result is not None:
            raise result

    time = Time(0)
    loop = Loop(tick, INTERVAL, time.clock(), telemetry)
    went_well = []
    for _ in results:
        went_well.append(loop.once())
        time.now += INTERVAL
    return went_well, telemetry


def test_a_failed_tick_is_counted_and_said_once_and_so_is_its_end(log: pytest.LogCaptureFixture) -> None:
    refused = [CollectError("the kernel refused") for _ in range(3)]
    went_well, telemetry = outcomes(None, *refused, None, None)
    assert went_well == [True, False, False, False, True, True]
    assert telemetry.value("ss_pusher_ticks_total", outcome="failed") == 3
    assert telemetry.value("ss_pusher_ticks_total", outcome="ok") == 3
    assert [(record.levelname, record.getMessage(), record.exc_info) for record in log.records] == [
        ("ERROR", "tick failed, nothing is exported until one succeeds: the kernel refused", None),
        ("INFO", "ticks succeed again", None),
    ]


def test_another_reason_is_said_too(log: pytest.LogCaptureFixture) -> None:
    outcomes(CollectError("overrun"), CollectError("refused"), CollectError("refused"), CollectError("overrun"))
    assert [record.getMessage().rpartition(" ")[2] for record in log.records] == ["overrun", "refused", "overrun"]


def test_a_bug_in_a_tick_is_logged_with_its_trace_once_and_ticks_go_on(log: pytest.LogCaptureFixture) -> None:
    went_well, _ = outcomes(ZeroDivisionError("a bug"), ZeroDivisionError("a bug"), None)
    assert went_well == [False, False, True]
    bug, again = log.records
    assert bug.exc_info is not None
    assert bug.exc_info[0] is ZeroDivisionError
    assert again.getMessage() == "ticks succeed again"


def test_a_tick_that_is_not_exported_is_no_success_to_speak_of() -> None:
    telemetry = Telemetry()
    shown = iter([100.0, 90.0, 110.0])
    exports: list[bool] = []
    loop = Loop(lambda _time, export: exports.append(export), 15, Clock(lambda: next(shown), lambda: 0.0), telemetry)
    assert [loop.once() for _ in range(3)] == [True, True, True]
    assert exports == [True, False, True]
    assert telemetry.value("ss_pusher_ticks_total", outcome="ok") == 2
    assert telemetry.value("ss_pusher_ticks_total", outcome="clock_behind") == 1


def test_a_host_that_can_never_do_it_ends_the_loop() -> None:
    with pytest.raises(UnsupportedHostError):
        outcomes(UnsupportedHostError("no sock_diag"))
