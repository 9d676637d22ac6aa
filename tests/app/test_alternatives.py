"""The ways of choosing that preview compares, on ticks whose answer is known."""

import math

import pytest

from ss_pusher.app.alternatives import Alternative, _EveryFlow, _Ours, _PlainTop, rows
from ss_pusher.select import Selection
from tests.select.build import LAYOUT, peers, sending

ROOM = 1000


def plain(count: int) -> Alternative:
    return Alternative("plain", _PlainTop({"throughput": count}))


def test_plain_top_takes_the_top_of_each_tick_and_counts_those_that_were_not_there_before() -> None:
    one, two, three = peers(3)
    alternative = plain(2)
    alternative.show(sending({one: 30, two: 20, three: 10}), 15, ROOM)
    alternative.show(sending({one: 30, two: 20, three: 40}), 15, ROOM)
    assert [t.groups for t in alternative.ticks] == [2, 2]
    assert [t.entered for t in alternative.ticks] == [2, 1]
    assert alternative.coverage("bytes") == pytest.approx((50 / 60 + 70 / 90) / 2)


def test_plain_top_takes_nothing_that_did_not_move() -> None:
    one, two = peers(2)
    alternative = plain(2)
    alternative.show(sending({one: 30, two: 0}), 15, ROOM)
    assert alternative.groups() == 1


def test_what_entered_in_the_first_tick_is_not_counted_as_new_an_hour() -> None:
    one, two = peers(2)
    alternative = plain(1)
    alternative.show(sending({one: 30}), 15, ROOM)
    assert math.isnan(alternative.new_an_hour())
    alternative.show(sending({two: 30}), 15, ROOM)
    alternative.show(sending({two: 30}), 15, ROOM)
    assert alternative.new_an_hour() == pytest.approx(3600 / 30)


def test_ours_counts_the_remainder_among_its_groups() -> None:
    one, two = peers(2)
    alternative = Alternative("ours", _Ours(Selection(LAYOUT, [("throughput", 1)])))
    alternative.show(sending({one: 30, two: 10}), 15, ROOM)
    assert alternative.groups() == 2
    assert alternative.coverage("bytes") == pytest.approx(0.75)


def test_every_connection_tells_all_there_is() -> None:
    one, two = peers(2)
    alternative = Alternative("every", _EveryFlow())
    groups = sending({one: 30, two: 10})
    alternative.show(groups, 15, ROOM)
    assert alternative.groups() == int(groups.sockets.sum())
    assert alternative.coverage("bytes") == 1


def test_rows_say_series_and_shares_and_a_dash_where_nothing_can_be_said() -> None:
    alternative = plain(1)
    (one,) = peers(1)
    alternative.show(sending({one: 5}), 15, ROOM)
    assert list(rows([alternative], series_per_group=20, fixed=100)) == [("plain", "120", "-", "100.0%", "-", "100.0%")]
