"""Limits on who comes in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.model import U64, KeyPart
from ss_pusher.select.budget import HourlyBudget, Limit, admit
from tests.select.build import unhurried

NAME, PORT = KeyPart("unit", 0, 1), KeyPart("service_port", 1, 1)
MANY = 10**6


def words(*keys: tuple[int, int]) -> U64:
    return np.array(keys, np.uint64).reshape(len(keys), 2).T


@unhurried
@given(
    st.integers(1, 100), st.integers(1, 30), st.lists(st.tuples(st.floats(0, 7200), st.integers(0, 100)), max_size=60)
)
def test_no_hour_sees_more_taken_than_the_most(most: int, least: int, steps: list[tuple[float, int]]) -> None:
    budget = HourlyBudget(most, least)
    tokens, now = budget.capacity, 0.0
    taken: list[tuple[float, int]] = []
    for seconds, wanted in steps:
        now += seconds
        tokens = budget.refilled(tokens, seconds)
        amount = min(wanted, int(tokens))
        tokens -= amount
        taken.append((now, amount))
        assert sum(n for t, n in taken if t > now - 3600) <= most


def test_the_budget_flows_in_steadily() -> None:
    budget = HourlyBudget(4000, 1)
    assert budget.capacity == 1000
    assert budget.refilled(0, 600) == pytest.approx(500)
    assert budget.refilled(900, 3600) == 1000


def test_a_purchase_that_the_most_allows_can_be_paid() -> None:
    assert HourlyBudget(100, 90).capacity == 90
    assert HourlyBudget(100, 200).capacity == 100


def test_newcomers_come_in_order_until_the_places_are_taken() -> None:
    admitted, refused = admit(words((1, 1), (2, 1), (3, 1)), words(), (), places=2, affordable=MANY)
    assert admitted.tolist() == [True, True, False]
    assert refused == {Limit.MAX_SERIES: 1}


def test_newcomers_come_in_order_until_the_budget_is_used_up() -> None:
    admitted, refused = admit(words((1, 1), (2, 1), (3, 1)), words(), (), places=MANY, affordable=1)
    assert admitted.tolist() == [True, False, False]
    assert refused == {Limit.MAX_NEW_SERIES_PER_HOUR: 2}


def test_a_value_that_is_exported_already_needs_no_room() -> None:
    admitted, refused = admit(
        words((1, 80), (2, 443), (3, 22), (4, 80)), words((9, 80)), ((PORT, 2),), places=MANY, affordable=MANY
    )
    assert admitted.tolist() == [True, True, False, True]
    assert refused == {Limit.MAX_VALUES: 1}


def test_who_is_refused_for_one_label_takes_no_value_of_another() -> None:
    limits = ((NAME, 2), (PORT, 1))
    admitted, _ = admit(words((1, 80), (2, 443), (3, 80)), words(), limits, places=MANY, affordable=MANY)
    assert admitted.tolist() == [True, False, True]
