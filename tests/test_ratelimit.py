"""How often the same may be said."""

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.ratelimit import BURST, EVERY, RateLimit


def test_a_change_and_its_end_are_said_at_once_and_then_one_line_an_hour() -> None:
    now = 0.0
    due = RateLimit(lambda: now)
    said = []
    for second in range(0, 5 * 3600, 15):
        now = float(second)
        if due():
            said.append(now)

    assert said == [0, 15, 3600, 7200, 10800, 14400]


@given(st.lists(st.floats(0, 3 * EVERY), max_size=200))
def test_there_are_never_more_lines_than_the_burst_and_one_an_hour(waits: list[float]) -> None:
    now = 0.0
    due = RateLimit(lambda: now)
    said = 0
    for wait in waits:
        now += wait
        said += due()
    assert said <= BURST + now / EVERY + 1e-6
