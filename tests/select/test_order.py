"""Orders that many columns decide."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.select.order import leading, lookup, ordered
from tests.select.build import unhurried

tables = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9)), unique=True, max_size=40)


@unhurried
@given(tables, st.integers(1, 45))
def test_the_leading_rows_are_the_first_of_all_sorted(table: list[tuple[int, int, int]], count: int) -> None:
    columns = np.array(table, np.int64).reshape(len(table), 3).T
    best = sorted(range(len(table)), key=lambda row: table[row])[:count]
    front = leading(np.arange(len(table)), count, tuple(columns))
    assert sorted(front.tolist()) == sorted(best)
    assert ordered(front, tuple(columns)).tolist() == best


@unhurried
@given(st.lists(st.integers(0, 20)).map(sorted), st.lists(st.integers(0, 20)))
def test_what_occurs_is_found_where_it_stands_first(ascending: list[int], sought: list[int]) -> None:
    found, at = lookup(np.array(ascending, np.int64), np.array(sought, np.int64))
    expected = [(row, ascending.index(value)) for row, value in enumerate(sought) if value in ascending]
    assert list(zip(found.tolist(), at.tolist(), strict=True)) == expected
