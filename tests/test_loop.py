"""When ticks are due, and what becomes of those that fail."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.clock import Clock
from ss_pusher.errors import CollectError, UnsupportedHostError
from ss_pusher.loop import CALM_AFTER, LATE_EVENTS, REMIND_AFTER, Loop, Stages
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
        return Clock(lambda: UNIX + self.now, lambda: self.now, self.sleep, lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


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
    assert began == pytest.approx([0, 15, 30, 45, 45.001 + LATE_EVENTS])
    assert telemetry.value("ss_pusher_ticks_total", outcome="ok") == 5
    assert telemetry.value("ss_pusher_ticks_missed_total") == 0


def test_a_stop_before_the_first_tick_leaves_the_last_one() -> None:
    began, _ = run(waits=-1)
    assert began == [LATE_EVENTS]


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


# ---- where in the interval they are ---------------------------------------------------------------------------------


@given(splay=st.floats(0, 1, exclude_max=True), started=st.floats(0, 100), took=st.floats(0, 5))
def test_from_the_second_on_ticks_have_the_same_place_in_every_interval_of_unix_time(
    splay: float, started: float, took: float
) -> None:
    time, began = Time(waits=5), list[float]()
    time.now = started

    def tick(_time_ms: int, _export: object) -> None:
        began.append(time.now)
        time.now += took

    Loop(tick, INTERVAL, time.clock(), Telemetry(), splay=splay).run(time)
    first, second, *others = began[:-1]
    assert first == started  # at once
    assert INTERVAL / 2 - 1e-3 <= second - first <= INTERVAL * 3 / 2
    assert np.diff([second, *others]) == pytest.approx(INTERVAL)
    off = (UNIX + second - splay * INTERVAL) % INTERVAL
    assert min(off, INTERVAL - off) < 1e-3


def test_after_a_step_of_the_clock_the_place_is_found_again_without_two_ticks_in_a_row() -> None:
    time, began = Time(waits=6), list[float]()
    offset = [0.0]

    def tick(_time_ms: int, _export: object) -> None:
        began.append(time.now)
        if len(began) == 3:
            offset[0] = 4007.0

    clock = Clock(wall=lambda: UNIX + offset[0] + time.now, monotonic=lambda: time.now)
    Loop(tick, INTERVAL, clock, Telemetry(), splay=0.2).run(time)
    assert all(INTERVAL / 2 <= wait <= INTERVAL * 3 / 2 for wait in np.diff(began[:-1]))
    assert (UNIX + offset[0] + began[-2]) % INTERVAL == pytest.approx(0.2 * INTERVAL)


# ---- what happens between them --------------------------------------------------------------------------------------


def test_between_two_ticks_it_is_awake_as_often_as_is_wanted_and_ticks_come_as_ever() -> None:
    time, woke, began = Time(waits=12), list[float](), list[float]()
    Loop(
        lambda *_: began.append(time.now),
        INTERVAL,
        time.clock(),
        Telemetry(),
        awake=lambda: woke.append(time.now),
        longest_wait=4,
    ).run(time)
    assert sorted(set(woke))[:6] == [0, 4, 8, 12, 15, 19]
    assert began[:3] == [0, 15, 30]


def test_another_interval_holds_at_once_if_it_is_shorter() -> None:
    time, began = Time(waits=5), list[float]()
    loops: list[Loop] = []

    def change() -> None:
        if time.now >= 20:
            loops[0].interval = 2

    loop = Loop(lambda *_: began.append(time.now), INTERVAL, time.clock(), Telemetry(), awake=change, longest_wait=5)
    loops.append(loop)
    loop.run(time)
    assert began[:3] == [0, 15, 22]


def test_the_time_of_each_stage_is_added_up_also_when_it_fails() -> None:
    telemetry, times = Telemetry(), iter([0.0, 2.0, 10.0, 10.5])
    stages = Stages(telemetry, lambda: next(times))
    with stages("collect"):
        pass
    with pytest.raises(CollectError), stages("collect"):
        raise CollectError("no")
    assert stages.seconds == {"collect": 2.5}
    assert telemetry.value("ss_pusher_stage_seconds_total", stage="collect") == 2.5


def test_after_the_host_slept_there_is_one_tick_and_what_it_missed_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    time, telemetry, times_ms, slept = Time(waits=4), Telemetry(), list[int](), [0.0]

    def tick(time_ms: int, _export: object) -> None:
        times_ms.append(time_ms)
        if len(times_ms) == 2:
            slept[0] = 3600.0  # the monotonic clock stands still meanwhile

    clock = Clock(lambda: UNIX + slept[0] + time.now, lambda: time.now, time.sleep, lambda: slept[0] + time.now)
    Loop(tick, INTERVAL, clock, telemetry).run(time)
    assert np.diff(times_ms[:-1]).tolist() == [15_000, 3_615_000, 15_000, 15_000]
    assert telemetry.value("ss_pusher_ticks_missed_total") == 240
    assert [record.getMessage() for record in caplog.records] == ["the host slept for 3600 s"]


def test_a_clock_that_is_set_forward_is_said_and_makes_no_tick_missed(caplog: pytest.LogCaptureFixture) -> None:
    time, telemetry, ticks = Time(waits=5), Telemetry(), list[int]()
    offset = [0.0]

    def tick(time_ms: int, _export: object) -> None:
        ticks.append(time_ms)
        offset[0] = 172_800.0 if len(ticks) == 2 else 0.0  # for one tick

    clock = Clock(lambda: UNIX + offset[0] + time.now, lambda: time.now, time.sleep, lambda: time.now)
    Loop(tick, INTERVAL, clock, telemetry).run(time)
    assert telemetry.value("ss_pusher_ticks_missed_total") == 0
    said = [record.getMessage() for record in caplog.records if record.name == "ss_pusher.loop"]
    assert said == ["the clock was set forward by 172800 s"]


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


def said(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records]


def test_another_reason_is_said_too_and_none_of_them_twice(log: pytest.LogCaptureFixture) -> None:
    outcomes(*[CollectError("overrun"), CollectError("refused"), CollectError("refused")] * 10)
    assert [line.rpartition(" ")[2] for line in said(log)] == ["overrun", "refused"]


def test_a_number_that_changes_in_it_is_no_other_reason(log: pytest.LogCaptureFixture) -> None:
    outcomes(*(CollectError(f"{number} sockets do not fit") for number in range(100, 200)))
    assert said(log) == ["tick failed, nothing is exported until one succeeds: 100 sockets do not fit"]


def test_whatever_the_reasons_are_only_few_are_said(log: pytest.LogCaptureFixture) -> None:
    outcomes(*(CollectError("x" * number) for number in range(100)))
    assert len(said(log)) == 5


def test_what_goes_on_failing_is_said_once_an_hour(log: pytest.LogCaptureFixture) -> None:
    outcomes(*[CollectError("refused")] * int(2 * REMIND_AFTER / INTERVAL + 1))
    assert said(log) == [
        "tick failed, nothing is exported until one succeeds: refused",
        "tick still fails, nothing is exported until one succeeds: refused",
        "tick still fails, nothing is exported until one succeeds: refused",
    ]


def test_ticks_that_fail_now_and_then_do_not_fill_the_log(log: pytest.LogCaptureFixture) -> None:
    hour = [CollectError("refused"), None] * int(REMIND_AFTER / INTERVAL / 2)
    calm = [None] * int(CALM_AFTER / INTERVAL + 1)
    outcomes(*hour, *hour, *calm)
    assert [line.partition(",")[0] for line in said(log)] == [
        "tick failed",
        "ticks succeed again",
        "tick failed",
        "tick still fails",
        "ticks succeed again",
    ]


def test_the_second_outage_is_said_again(log: pytest.LogCaptureFixture) -> None:
    calm = [None] * int(CALM_AFTER / INTERVAL + 1)
    outcomes(CollectError("refused"), *calm, CollectError("refused"), *calm)
    assert [line.partition(",")[0] for line in said(log)] == ["tick failed", "ticks succeed again"] * 2


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
