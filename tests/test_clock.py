"""The time that ticks bear: of clocks that are set, forward and back, and of clocks that nobody has set yet."""

import math
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.clock import PATIENCE_MS, Clock, Moment, PatientClock, Timeline

INTERVAL = 15.0


def moments(*seconds: float, believed: Sequence[bool] = (), last: bool = False) -> list[Moment]:
    """What a timeline gives when the clock shows these at ticks that come at the interval.

    `believed` is what is said of the clock at each tick, and True from there on; `last` whether the last is the last.
    """
    now = [0.0, 0.0]
    answers = iter(believed)
    line = Timeline(Clock(wall=lambda: now[0], monotonic=lambda: now[1]), lambda: next(answers, True))
    given = []
    for number, wall in enumerate(seconds):
        now[:] = wall, 1000 + number * INTERVAL
        given.append(line.next(last=last and number == len(seconds) - 1))
    return given


def timeline(*seconds: float) -> list[tuple[float, bool]]:
    """The times that a timeline gives when the clock shows these, in seconds, and which may be exported."""
    return [(moment.time_ms / 1000, moment.held is None) for moment in moments(*seconds)]


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


def test_a_clock_that_is_behind_is_said_once_until_it_has_caught_up(caplog: pytest.LogCaptureFixture) -> None:
    timeline(100, 70, 85, 115, 90, 120)
    assert [record.getMessage().partition(" s ")[0] for record in caplog.records] == [
        "the clock was set back: for 30",
        "the clock was set back: for 25",
    ]


def test_two_ticks_within_one_millisecond_are_no_news(caplog: pytest.LogCaptureFixture) -> None:
    timeline(100, 100, 100)
    assert caplog.records == []


@given(st.lists(st.integers(1, 3_000_000), min_size=1, max_size=30))
def test_whatever_a_clock_does_no_time_is_repeated_and_time_only_goes_back_with_it(shown: list[int]) -> None:
    last_ms = 0
    for wall_ms, (time_ms, held, _) in zip(shown, moments(*(each / 1000 for each in shown)), strict=True):
        export = held is None
        assert time_ms > last_ms or (export and last_ms - time_ms >= PATIENCE_MS)
        assert not export or abs(time_ms - wall_ms) <= 1  # a float holds it but nearly
        last_ms = time_ms


def test_when_a_clock_is_set_far_back_the_times_before_move_with_it() -> None:
    assert [moment.moved_ms for moment in moments(10_000, 10_015, 9000, 9015)] == [0, 0, -1_030_000, 0]


def test_a_clock_that_is_waited_for_or_set_forward_moves_nothing() -> None:
    assert [moment.moved_ms for moment in moments(100, 70, 85, 100, 115, 90_000)] == [0] * 6


def test_until_a_clock_was_set_nothing_is_exported_and_then_the_times_before_move_to_where_they_belong(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    given = moments(5, 20, 80_035, 80_050, believed=[False, False, True])
    assert given == [
        Moment(5_000, "clock_not_set"),
        Moment(20_000, "clock_not_set"),
        Moment(80_035_000, None, 80_000_000),
        Moment(80_050_000),
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "this host started a moment ago: nothing is exported until its clock has been set",
        "the clock is believed; it was moved by +80000 s meanwhile",
    ]


def test_nothing_from_the_future_is_exported_while_nobody_has_set_the_clock() -> None:
    given = moments(90_000, 10_015, 10_030, believed=[False])
    assert given == [Moment(90_000_000, "clock_not_set"), Moment(10_015_000, None, -80_000_000), Moment(10_030_000)]


def test_a_clock_that_is_set_twice_before_it_is_believed_moves_the_times_twice() -> None:
    given = moments(100, 215, 330, believed=[False, False])
    assert [moment.moved_ms for moment in given] == [0, 100_000, 100_000]


def test_a_clock_that_was_right_all_along_moves_nothing() -> None:
    assert moments(100, 115, believed=[False]) == [Moment(100_000, "clock_not_set"), Moment(115_000)]


def test_the_last_tick_is_not_held_for_a_clock_that_may_still_be_set() -> None:
    given = moments(100, 115, 130, believed=[False] * 3, last=True)
    assert [moment.held for moment in given] == ["clock_not_set", "clock_not_set", None]


def test_a_clock_that_was_believed_once_is_not_asked_about_again() -> None:
    assert [moment.held for moment in moments(100, 115, 130, believed=[True, False, False])] == [None] * 3


# ---- by which what waits gets old -----------------------------------------------------------------------------------


def patient(*steps: tuple[float, float], believed: bool = True) -> list[float]:
    """How far ahead of the monotonic clock the patient one is at each step: its monotonic time, and the wall's lead."""
    now = list(steps[0])
    clock = PatientClock(Clock(wall=lambda: sum(now), monotonic=lambda: now[0]), believed=believed)
    ahead = []
    for step in steps:
        now[:] = step
        ahead.append(clock() - now[0])
    return ahead


def test_a_leap_forward_that_is_taken_back_makes_nothing_older() -> None:
    assert patient((0, 50), (15, 9050), (600, 9050), (614, 9050), (615, 50), (630, 50)) == [50] * 6


def test_a_leap_forward_that_lasts_is_believed_after_ten_minutes_by_its_least() -> None:
    assert patient((0, 50), (15, 9050), (30, 8050), (614, 9050), (615, 9050)) == [50, 50, 50, 50, 8050]


def test_each_leap_has_its_own_ten_minutes() -> None:
    assert patient((0, 50), (15, 9050), (400, 50), (500, 9050), (1099, 9050), (1100, 9050)) == [50] * 5 + [9050]


def test_a_clock_that_goes_back_or_drifts_is_believed_at_once() -> None:
    assert patient((0, 50), (15, 50.5), (30, 51), (45, -9000), (60, -8999.5)) == [50, 50.5, 51, -9000, -8999.5]


def test_a_clock_that_cannot_be_believed_at_the_start_makes_nothing_old_for_ten_minutes() -> None:
    none = -math.inf
    assert patient((0, 9050), (6, 50), (599, 50), (600, 50), believed=False) == [none, none, none, 50]


def test_the_time_since_the_start_of_the_host_has_its_sleep_in_it() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= Clock().boottime() <= time.clock_gettime(time.CLOCK_BOOTTIME)
