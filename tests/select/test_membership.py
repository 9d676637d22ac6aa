"""Bands of ranks."""

from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.select.membership import bands
from tests.select.build import unhurried

counts_drawn = st.lists(st.integers(1, 100), min_size=1, max_size=4)


def test_with_places_for_all_rank_n_enters_and_rank_2n_stays() -> None:
    band = bands((50, 20), 140)
    assert (band.enter.tolist(), band.leave.tolist()) == ([50, 20], [100, 40])


def test_with_fewer_places_both_ends_of_the_band_come_down() -> None:
    band = bands((50, 20), 70)
    assert (band.enter.tolist(), band.leave.tolist()) == ([38, 15], [50, 20])


@unhurried
@given(counts_drawn, st.integers(0, 1000))
def test_all_that_may_stay_have_places_but_for_one_in_each_ranking(counts: list[int], places: int) -> None:
    band = bands(counts, places)
    assert int(band.leave.sum()) <= places + len(counts)


@unhurried
@given(counts_drawn, st.integers(0, 1000))
def test_what_enters_may_stay(counts: list[int], places: int) -> None:
    band = bands(counts, places)
    assert (band.enter <= band.leave).all()
    assert (band.enter >= 1).all()
    assert (band.enter <= counts).all()
