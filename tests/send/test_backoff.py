"""The waits between tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send.backoff import SHORTEST, Backoff

ALMOST_1 = 1 - 2**-53


def test_the_bound_doubles_up_to_the_longest() -> None:
    backoff = Backoff(1.0, 60.0, lambda: ALMOST_1)

    assert [round(backoff.next()) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_success_starts_anew() -> None:
    backoff = Backoff(1.0, 60.0, lambda: ALMOST_1)
    for _ in range(5):
        backoff.next()
    backoff.reset()

    assert round(backoff.next()) == 1


def test_the_jitter_is_full() -> None:
    draws = iter([0.0, 0.25, 0.5, 0.75])
    backoff = Backoff(8.0, 8.0, lambda: next(draws))

    assert [backoff.next() for _ in range(4)] == [SHORTEST, 2.0, 4.0, 6.0]


@pytest.mark.parametrize("shortest", [0.0, 1e-9, 0.03])
@given(draws=st.lists(st.floats(0, ALMOST_1), min_size=1))
def test_no_wait_is_shorter_than_a_millisecond_or_longer_than_the_longest(shortest: float, draws: list[float]) -> None:
    rest = iter(draws)
    backoff = Backoff(shortest, 5.0, lambda: next(rest))

    assert all(SHORTEST <= backoff.next() <= 5.0 for _ in draws)
