"""How often a job's sockets are looked at."""

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.batch.pace import BURST, FIRST, LONGEST, SHARE, Pace


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
    for _ in range(40):
        pauses.append(pace.next())
        thread.now += pauses[-1]
    assert pauses[0] == FIRST
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST


@given(st.lists(st.floats(0, 2), max_size=60))
def test_looking_never_takes_more_than_its_share_and_the_burst(costs: list[float]) -> None:
    thread = Thread()
    pace = Pace(lambda: thread.used, lambda: thread.now)
    for cost in costs:
        thread.look(cost)
        thread.now += pace.next()
        assert thread.used <= BURST + SHARE * thread.now + 1e-6
