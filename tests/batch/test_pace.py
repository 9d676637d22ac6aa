"""How often a job's sockets are looked at."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.batch.pace import BURST, FIRST, FIRST_LOOK, LAST, LAST_LOOK, SAVED, SHARE, TICKS, Pace


class Thread:
    """A clock, and the CPU time that a thread used."""

    def __init__(self) -> None:
        self.now = self.used = 0.0

    def look(self, cost: float) -> None:
        self.now += cost
        self.used += cost


def test_the_first_looks_follow_fast_and_the_later_ones_slowly() -> None:
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    pauses = []
    for _ in range(400):
        pauses.append(pace.next())
        thread.now += pauses[-1]
    assert pauses[0] == FIRST
    assert pauses == sorted(pauses)
    assert pauses[-1] == LAST


def times(due: Callable[[Pace], bool]) -> list[float]:
    """The pauses between the wakes at which this is due."""
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    done = [0.0]
    while len(done) < 20:
        thread.now += pace.next()
        if due(pace):
            done.append(thread.now)
    return [after - before for before, after in pairwise(done)]


def test_what_is_looked_at_anyway_is_so_ever_more_rarely() -> None:
    pauses = times(Pace.is_time_to_look)
    assert FIRST_LOOK <= pauses[0] < FIRST_LOOK + LAST
    assert pauses[0] < pauses[2] < pauses[-1]
    assert LAST_LOOK <= pauses[-1] < LAST_LOOK + 2 * LAST


def test_a_look_for_another_reason_puts_it_off() -> None:
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    thread.now = FIRST_LOOK * 0.9
    pace.looked()
    thread.now = FIRST_LOOK * 1.8
    assert not pace.is_time_to_look()
    thread.now = FIRST_LOOK * 1.9
    assert pace.is_time_to_look()


def test_ticks_come_at_an_interval() -> None:
    assert all(TICKS <= pause < TICKS + 2 * LAST for pause in times(Pace.is_time_to_tick))


@given(st.lists(st.floats(0, 2), max_size=60), st.floats(0, 1e5))
def test_looking_never_takes_more_than_its_share_and_the_burst(costs: list[float], idle: float) -> None:
    """After hours in which it took less there is a little more, and no more than that."""
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    thread.now = idle
    pace.next()
    for cost in costs:
        thread.look(cost)
        thread.now += pace.next()
        assert thread.used <= min(BURST + SHARE * idle, SAVED) + SHARE * (thread.now - idle) + 1e-6


@given(st.floats(1e-4, BURST))
def test_a_look_is_paid_for_before_so_that_the_job_may_end_right_after_it(cost: float) -> None:
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    for _ in range(50):
        thread.now += pace.next()
        thread.look(cost)
        assert thread.used <= BURST + SHARE * thread.now + 1e-9
        pace.looked()


def test_a_look_that_is_dearer_than_what_can_be_saved_comes_all_the_same() -> None:
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    thread.look(5 * SAVED)
    pace.looked()
    assert pace.next() < (6 * SAVED) / SHARE
    thread.now += 6 * SAVED / SHARE
    assert pace.next() < 1


def test_what_is_done_aside_is_not_taken_from_the_budget() -> None:
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    with pace.aside():
        thread.used += 7
    assert pace.next() == FIRST
    thread.used += BURST + 0.5
    assert pace.next() == pytest.approx(0.5 / SHARE)
