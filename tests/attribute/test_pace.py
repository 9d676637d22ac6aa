"""The pace of costly look-ups."""

from ss_pusher.attribute.pace import Pace


def test_a_look_up_takes_at_most_a_tenth_of_the_time() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.due()
    with pace.timed():
        now = 102.0
    assert not pace.due()
    now = 119.9
    assert not pace.due()
    now = 120.0
    assert pace.due()


def test_a_look_up_that_takes_no_time_may_be_repeated_at_once() -> None:
    pace = Pace(lambda: 100.0)
    with pace.timed():
        pass
    assert pace.due()
