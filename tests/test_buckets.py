"""Every whole number is in the bucket that the specification says, by a slow oracle of decimal numbers."""

from bisect import bisect_left
from decimal import ROUND_CEILING, Context, Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ss_pusher.buckets import Finder, decimal_edge, exponential_edges

PRECISE = Context(prec=80)
PERS = (1, 1000, 1_000_000)


def index_of(number: int, schema: int, per: int) -> int:
    """The bucket i with 2**((i - 1) / 2**schema) < number / per <= 2**(i / 2**schema), by logarithms of 80 digits."""
    value = PRECISE.divide(Decimal(number), Decimal(per))
    logarithm = PRECISE.divide(PRECISE.ln(value), PRECISE.ln(Decimal(2)))
    nearest = round(logarithm)
    if PRECISE.power(2, nearest) == value:  # whose logarithm is not exact
        return nearest << schema
    return int((logarithm * 2**schema).to_integral_value(ROUND_CEILING))


around_powers = st.builds(lambda exponent, offset: max(2**exponent + offset, 1), st.integers(0, 63), st.integers(-2, 2))


@given(st.integers(1, 2**32 - 1) | st.integers(1, 2**64 - 1) | around_powers, st.integers(0, 5), st.sampled_from(PERS))
@example(1_000_000, 3, 1_000_000)
@example(500_000, 3, 1_000_000)
@example(15_625, 3, 1_000_000)  # 2**-6 s, the least power of two that is a whole number of microseconds
@example(1, 3, 1_000_000)
@example(2**64 - 1, 3, 1)
def test_an_edge_is_the_highest_number_of_its_bucket(number: int, schema: int, per: int) -> None:
    first, edges = exponential_edges(schema, per)
    assert first + bisect_left(edges, number) == index_of(number, schema, per)


@pytest.mark.parametrize("per", PERS)
def test_the_number_of_buckets_is_bounded(per: int) -> None:
    _, edges = exponential_edges(3, per)
    assert len(edges) <= 64 * 8 + 1
    assert bisect_left(edges, 2**32 - 1) < 32 * 8 + 1
    assert edges[-1] >= 2**64 - 1


@pytest.mark.parametrize(
    ("bound", "per", "edge"),
    [(0.0001, 1_000_000, 100), (0.0000015, 1_000_000, 1), (2.5, 1_000_000, 2_500_000), (1e10, 1, 10**10), (0.3, 1, 0)],
)
def test_a_decimal_bound_is_taken_at_its_word(bound: float, per: int, edge: int) -> None:
    assert decimal_edge(bound, per) == edge


edge_sets = st.sets(st.integers(0, 2**53) | st.integers(0, 300), min_size=1, max_size=40)


@given(edge_sets, st.lists(st.integers(0, 2**53) | st.integers(0, 300), max_size=40))
@example({0, 100, 101, 102, 103, 104, 105}, list(range(107)))
def test_a_number_is_found_where_a_binary_search_finds_it(edges: set[int], numbers: list[int]) -> None:
    ordered = sorted(edges)
    beside = [edge + offset for edge in ordered for offset in (-1, 0, 1) if 0 <= edge + offset <= 2**53]
    every = np.array([*numbers, *beside], dtype=np.float64)
    assert Finder(ordered).find(every).tolist() == np.searchsorted(ordered, every, side="left").tolist()


def test_the_highest_number_is_found() -> None:
    _, edges = exponential_edges(3, 1)
    distinct = sorted(set(edges))
    (place,) = Finder(distinct).find(np.array([2**64 - 1], np.uint64).astype(np.float64))
    assert distinct[place] == 2**64
