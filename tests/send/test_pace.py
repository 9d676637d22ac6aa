"""The rate of a backlog."""

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send.pace import SLOW_FOR, SLOWEST, Pace


def test_a_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    pace = Pace(10.0, 3, lambda: 0.0)

    assert [round(pace.next(), 3) for _ in range(6)] == [0, 0, 0, 0.1, 0.2, 0.3]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_second_ever_has_more_than_the_rate_beyond_the_burst(work: list[float]) -> None:
    now = 0.0
    pace = Pace(10.0, 5, lambda: now)
    sent: list[float] = []
    for seconds in work:
        sent.append(now)
        now += max(pace.next(), seconds)

    for first, start in enumerate(sent):
        count = sum(1 for moment in sent[first:] if moment <= start + 1.0)
        assert count <= 5 + 10 + 1


def test_a_rest_restores_the_burst_but_no_more() -> None:
    now = 0.0
    pace = Pace(10.0, 3, lambda: now)
    for _ in range(3):
        pace.next()
    now = 1000.0

    assert [round(pace.next(), 3) for _ in range(4)] == [0, 0, 0, 0.1]


def test_after_an_outage_it_is_slow_for_minutes_then_faster_and_in_the_end_as_ever() -> None:
    now = 0.0
    pace = Pace(10.0, 3, lambda: now)
    now = 1000.0
    pace.begin_slowly()
    sent = []
    while now < 2000.0:
        now += pace.next()
        sent.append(now - 1000.0)

    def rate(since: float) -> float:
        return sum(since <= moment < since + 50 for moment in sent) / 50

    assert sent[:3] == [10, 20, 30]
    assert rate(200) == SLOWEST
    assert SLOWEST < rate(SLOW_FOR + 30) < rate(SLOW_FOR + 120) < rate(SLOW_FOR + 240)
    assert rate(900) == 10.0
