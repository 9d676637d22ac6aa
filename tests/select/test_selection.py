"""What the selection promises, example by example."""

import numpy as np
import pytest

from ss_pusher.model import Groups, KeyPart
from ss_pusher.select import Limit, Prefixes, Selection
from ss_pusher.select.candidates import SMOOTHING
from tests.select.build import (
    LAYOUT,
    RECEIVED,
    RETRANSMITTED,
    RTT,
    SENT,
    Key,
    key,
    keys_of,
    other,
    owners,
    peers,
    sending,
    tick,
)

MANY = 1000
A, B, C, D, E = (key(f"192.0.2.{n}") for n in range(1, 6))


def by_throughput(count: int, hold: int = 4) -> Selection:
    return Selection(LAYOUT, [("throughput", count)], hold=hold)


def exported(selection: Selection, groups: Groups, max_groups: int = MANY) -> set[Key]:
    """The groups and networks that are exported after this tick, without the remainder."""
    choice, _ = selection.choose(groups, 15.0, max_groups)
    return set(keys_of(choice)) - {other(1), other(2)}


def test_the_groups_that_score_highest_are_exported_from_the_first_tick_on() -> None:
    assert exported(by_throughput(2), sending({A: 10, B: 30, C: 20})) == {B, C}


def test_what_is_not_exported_belongs_to_the_remainder_of_its_direction() -> None:
    out = key("192.0.2.9", direction=2)
    groups = sending({A: 10, B: 30, out: 1})
    choice, _ = by_throughput(1).choose(groups, 15.0, MANY)
    assert owners(groups, choice) == {A: other(1), B: B, out: other(2)}


def test_without_a_direction_there_is_one_remainder() -> None:
    layout = (KeyPart("service_port", 0, 1),)
    groups = tick([(80,), (443,)], {SENT: [1, 2]})
    choice, _ = Selection(layout, [("throughput", 1)]).choose(groups, 15.0, MANY)
    assert keys_of(choice) == [(443,), (0xFFFF_FFFF_FFFF_FFFF,)]


def test_no_remainder_is_exported_before_something_falls_to_it_and_it_stays_afterwards() -> None:
    selection = by_throughput(1)
    first, _ = selection.choose(sending({A: 1}), 15.0, MANY)
    second, _ = selection.choose(sending({A: 1, B: 0}), 15.0, MANY)
    third, _ = selection.choose(sending({A: 1}), 15.0, MANY)
    assert [keys_of(choice) for choice in (first, second, third)] == [[A], [A, other()], [A, other()]]


def test_grouping_by_direction_alone_exports_both_directions_and_no_key_twice() -> None:
    groups = tick([(1,), (2,)], {SENT: [5, 7]})
    choice, _ = Selection((KeyPart("direction", 0, 1),), [("throughput", 9)]).choose(groups, 15.0, MANY)
    assert owners(groups, choice) == {(1,): (1,), (2,): (2,)}
    assert len(choice.keys) == 2


def test_a_group_that_is_its_own_remainder_never_stands_there_twice() -> None:
    selection = Selection((KeyPart("direction", 0, 1),), [("throughput", 9)])
    for sent in (0, 5):
        choice, _ = selection.choose(tick([(1,)], {SENT: [sent]}), 15.0, MANY)
        assert keys_of(choice) == [(1,)]


def test_one_group_without_any_label_is_its_own_remainder() -> None:
    groups = tick([()], {SENT: [5]})
    choice, _ = Selection((), [("throughput", 9)]).choose(groups, 15.0, MANY)
    assert choice.keys.shape == (1, 0)
    assert choice.owner.tolist() == [0]


def test_a_group_stays_while_it_ranks_within_twice_the_count() -> None:
    selection = by_throughput(1, hold=0)
    exported(selection, sending({A: 100, B: 50}))
    for _ in range(50):
        assert A in exported(selection, sending({A: 10, B: 90}))


def test_a_group_below_twice_the_count_is_held_for_so_many_ticks_and_then_leaves() -> None:
    selection = by_throughput(1, hold=3)
    exported(selection, sending({A: 100}))
    louder = sending({B: 10_000_000, C: 9_000_000, A: 1})
    assert [A in exported(selection, louder) for _ in range(5)] == [True, True, True, False, False]


def test_one_tick_back_in_the_band_starts_the_hold_anew() -> None:
    selection = by_throughput(1, hold=2)
    exported(selection, sending({A: 100}))
    below = sending({B: 10**6, C: 10**6, A: 1})
    assert [A in exported(selection, below) for _ in range(2)] == [True, True]
    assert A in exported(selection, sending({B: 10**7, C: 1, A: 10**8}))
    for amount in (10**10, 10**11):
        assert A in exported(selection, sending({B: amount, C: amount, A: 0}))
    assert A not in exported(selection, sending({B: 10**12, C: 10**12, A: 0}))


def test_a_group_is_exported_while_any_ranking_holds_it() -> None:
    selection = Selection(LAYOUT, [("throughput", 1), ("retransmits", 1)], hold=0)
    keys = [A, B, C, D]
    values = {SENT: [1, 100, 90, 80], RETRANSMITTED: [9, 0, 0, 0]}
    assert exported(selection, tick(keys, values)) == {A, B}
    for _ in range(5):
        assert A in exported(selection, tick(keys, values))


def test_one_tick_of_noise_does_not_bring_a_newcomer_in() -> None:
    selection = by_throughput(2)
    steady = {A: 100, B: 90, C: 80}
    for _ in range(40):
        exported(selection, sending(steady))
    assert exported(selection, sending(steady | {C: 150})) == {A, B}


def test_a_newcomer_that_is_heavy_enters_in_its_first_tick() -> None:
    selection = by_throughput(1)
    for _ in range(40):
        exported(selection, sending({A: 100, B: 90}))
    assert C in exported(selection, sending({A: 100, B: 90, C: 1_000_000}))


def test_of_equal_newcomers_the_lower_keys_are_exported() -> None:
    assert exported(by_throughput(2), sending({C: 7, A: 7, B: 7})) == {A, B}


def test_of_equals_the_one_that_was_known_first_is_exported() -> None:
    selection = Selection(LAYOUT, [("flows", 1)])
    assert exported(selection, tick([B]), max_groups=selection.remainders) == set()
    choice, _ = selection.choose(tick([A, B]), 1e9, MANY)  # so long a tick leaves nothing of the averages before it
    assert set(keys_of(choice)) - {other()} == {B}


def test_a_group_that_moves_nothing_is_not_exported() -> None:
    assert exported(by_throughput(5), sending({A: 0, B: 1})) == {B}


def test_a_group_that_fell_silent_for_long_leaves_although_nobody_wants_its_place() -> None:
    selection = by_throughput(5, hold=1)
    exported(selection, sending({A: 100, B: 1}))
    selection.choose(sending({B: 1}), 9 * SMOOTHING, MANY)
    assert A in exported(selection, sending({B: 1}))
    selection.choose(sending({B: 1}), SMOOTHING, MANY)
    assert exported(selection, sending({B: 1})) == {B}


def test_a_group_without_sockets_is_still_exported_while_it_is_held() -> None:
    selection = by_throughput(2)
    exported(selection, sending({A: 100, B: 50}))
    assert exported(selection, sending({})) == {A, B}


def test_a_gauge_that_no_socket_has_does_not_rank() -> None:
    selection = Selection(LAYOUT, [("rtt", 3)])
    groups = tick([A, B, C], {RTT: [np.nan, 0.2, 0.1]})
    assert exported(selection, groups) == {B, C}


def test_an_infinite_gauge_does_not_rank() -> None:
    assert exported(Selection(LAYOUT, [("rtt", 2)]), tick([A, B], {RTT: [np.inf, 0.1]})) == {B}


def test_keys_keep_their_order_and_new_ones_come_last() -> None:
    selection = by_throughput(4, hold=0)
    first, _ = selection.choose(sending({D: 4, B: 3}), 15.0, MANY)
    second, _ = selection.choose(sending({A: 90, D: 4, C: 80, B: 3}), 15.0, MANY)
    assert keys_of(first) == [B, D]
    assert keys_of(second) == [B, D, A, C]


def test_with_too_few_places_the_best_ranked_get_them() -> None:
    selection = by_throughput(4)
    choice, report = selection.choose(sending({A: 1, B: 2, C: 3, D: 4}), 15.0, selection.remainders + 2)
    assert set(keys_of(choice)) == {C, D, other()}
    assert report.refused[Limit.MAX_SERIES] == 2


def test_when_places_vanish_the_lowest_ranked_leave_at_once() -> None:
    selection = by_throughput(3)
    groups = sending({A: 1, B: 2, C: 3})
    assert exported(selection, groups) == {A, B, C}
    assert exported(selection, groups, selection.remainders + 2) == {B, C}


def test_without_any_place_everything_falls_to_the_remainder() -> None:
    choice, _ = by_throughput(3).choose(sending({A: 1, B: 2}), 15.0, 0)
    assert keys_of(choice) == [other()]


def test_scarce_places_are_not_kept_from_a_heavy_newcomer_for_ever() -> None:
    selection = by_throughput(10)
    places = selection.remainders + 10
    old = {peer: 100 + n for n, peer in enumerate(peers(10))}
    for _ in range(5):
        exported(selection, sending(old), places)
    seen = [A in exported(selection, sending(old | {A: 10_000}), places) for _ in range(8)]
    assert seen[-1]


def test_when_the_hourly_budget_is_used_up_newcomers_wait_and_incumbents_stay() -> None:
    selection = Selection(LAYOUT, [("throughput", 5)], series_per_group=10, max_new_series_per_hour=200)
    groups = sending({A: 5, B: 4, C: 3, D: 2, E: 1})
    first, report = selection.choose(groups, 15.0, MANY)
    assert keys_of(first) == [A, B, C, other()]  # of the 50 that can be had at once, 20 are the remainder's
    assert report.refused[Limit.MAX_NEW_SERIES_PER_HOUR] == 2
    second, _ = selection.choose(groups, 15.0, MANY)
    assert keys_of(second) == keys_of(first)


def test_the_hourly_budget_refills_steadily() -> None:
    selection = Selection(LAYOUT, [("throughput", 50)], max_new_series_per_hour=24)
    groups = sending({peer: 1000 - n for n, peer in enumerate(peers(100))})
    counts = [len(exported(selection, groups, MANY)) for _ in range(2 + 4 * 60)]
    assert counts[0] == 24 // 4 - selection.remainders
    assert counts[-1] == 24 - selection.remainders
    assert max(np.diff(counts)) == 1


def test_a_group_that_comes_back_costs_the_budget_again() -> None:
    selection = Selection(LAYOUT, [("throughput", 1)], hold=0)
    new = [selection.choose(sending({k: 1}), 1e9, MANY)[1].new_series for k in (A, B, A)]
    assert new == [1, 1, 1]


def test_a_label_has_no_more_values_than_allowed_the_remainder_included() -> None:
    selection = Selection(LAYOUT, [("throughput", 9)], max_values={"service_port": 2})
    first, second = key("192.0.2.1", port=443), key("192.0.2.2", port=443)
    groups = sending({first: 9, key("192.0.2.3", port=80): 5, second: 1})
    choice, report = selection.choose(groups, 15.0, MANY)
    assert set(keys_of(choice)) == {first, second, other()}
    assert report.refused[Limit.MAX_VALUES] == 1


def test_an_incumbent_keeps_its_value_from_a_heavier_newcomer() -> None:
    selection = Selection(LAYOUT, [("throughput", 9)], max_values={"remote_address": 2})
    assert exported(selection, sending({A: 1})) == {A}
    assert exported(selection, sending({A: 1, B: 1_000_000})) == {A}


def test_any_metric_ranks_by_its_name() -> None:
    groups = tick([A, B], {RECEIVED: [5, 6], RTT: [0.2, 0.1]})
    assert exported(Selection(LAYOUT, [(RECEIVED, 1)]), groups) == {B}
    assert exported(Selection(LAYOUT, [(RTT, 1)]), groups) == {A}


def test_it_names_the_families_that_it_needs() -> None:
    assert Selection(LAYOUT, [("throughput", 1), (RTT, 1)]).needs == {SENT, RECEIVED, RTT}


def test_a_tick_without_a_family_that_it_needs_changes_nothing() -> None:
    selection = Selection(LAYOUT, [("ss_flow_cwnd_segments", 1)])
    with pytest.raises(LookupError, match="ss_flow_cwnd_segments"):
        selection.choose(sending({A: 1}), 15.0, MANY)


def test_a_report_tells_what_was_done() -> None:
    selection = Selection(LAYOUT, [("throughput", 1)], hold=0, series_per_group=7)
    _, report = selection.choose(tick([A, B], {SENT: [75, 25], RETRANSMITTED: [1, 3]}, sockets=[1, 3]), 15.0, MANY)
    assert (report.groups, report.exported, report.entered, report.evicted, report.new_series) == (2, 1, 1, 0, 14)
    assert report.coverage == {"bytes": 0.75, "retransmits": 0.25, "flows": 0.25}
    assert report.refused[Limit.TOP] == 1
    _, report = selection.choose(sending({C: 9, D: 8}), 1e9, MANY)
    assert (report.exported, report.entered, report.evicted, report.new_series) == (1, 1, 1, 7)


def test_coverage_of_nothing_is_no_number() -> None:
    _, report = by_throughput(1).choose(sending({}), 15.0, MANY)
    assert all(np.isnan(share) for share in report.coverage.values())


def crowd(network: str, amount: int, count: int = 50) -> dict[Key, int]:
    return {key(f"{network}.{n}"): amount for n in range(1, count + 1)}


def with_networks(count: int, hold: int = 0) -> Selection:
    return Selection(LAYOUT, [("throughput", count)], hold=hold, prefixes=Prefixes())


def test_a_network_is_exported_when_it_matters_and_none_of_its_addresses_does() -> None:
    big = dict.fromkeys(peers(4), 1000)
    groups = sending(big | crowd("198.51.100", 100))
    choice, report = with_networks(2).choose(groups, 15.0, MANY)
    network = key("198.51.100.0", length=24)
    assert network in keys_of(choice)
    assert report.networks == 1
    assert all(owners(groups, choice)[member] == network for member in crowd("198.51.100", 100))


def test_a_network_ranks_behind_a_group_that_scores_the_same() -> None:
    assert exported(with_networks(1), sending({A: 200, peers(1)[0]: 150} | crowd("198.51.100", 100, 2))) == {A}


def test_a_network_of_which_an_address_speaks_for_itself_is_not_exported() -> None:
    groups = sending(crowd("198.51.100", 100) | {key("198.51.100.77"): 10_000})
    assert exported(with_networks(2), groups) == {key("198.51.100.77"), key("198.51.100.1")}


def test_an_address_that_comes_to_matter_leaves_the_rest_to_its_network() -> None:
    selection = with_networks(2, hold=100)
    big = dict.fromkeys(peers(4), 1000)
    network, loud = key("198.51.100.0", length=24), key("198.51.100.1")
    exported(selection, sending(big | crowd("198.51.100", 100)))
    groups = sending(big | crowd("198.51.100", 100) | {loud: 1_000_000})
    choice, _ = selection.choose(groups, 15.0, MANY)
    assert owners(groups, choice)[loud] == loud
    assert owners(groups, choice)[key("198.51.100.2")] == network


def test_a_network_does_not_enter_while_an_address_of_it_is_exported_though_that_has_become_quiet() -> None:
    selection = with_networks(1, hold=3)
    network, once = key("198.51.100.0", length=24), key("198.51.100.1")
    assert exported(selection, sending({once: 100})) == {once}
    louder = sending(dict.fromkeys(peers(3), 10**6) | crowd("198.51.100", 10**5))
    seen = [exported(selection, louder) for _ in range(5)]
    assert [once in now for now in seen] == [True, True, True, False, False]
    assert [network in now for now in seen] == [False, False, False, True, True]


def test_what_exported_addresses_move_does_not_keep_their_network() -> None:
    selection = with_networks(2)
    big = dict.fromkeys(peers(4), 1000)
    network, loud = key("198.51.100.0", length=24), key("198.51.100.1")
    assert network in exported(selection, sending(big | crowd("198.51.100", 100)))
    for _ in range(60):
        last = exported(selection, sending(big | crowd("198.51.100", 1) | {loud: 10_000}))
    assert loud in last
    assert network not in last


def test_a_network_whose_addresses_fell_silent_leaves() -> None:
    selection = with_networks(1)
    big = dict.fromkeys(peers(4), 1000)
    network = key("198.51.100.0", length=24)
    assert network in exported(selection, sending(big | crowd("198.51.100", 500)))
    for _ in range(60):
        last = exported(selection, sending(big))
    assert network not in last


def test_groups_that_are_already_as_coarse_as_the_prefix_have_no_network() -> None:
    coarse = {key(f"198.51.{n}.0", length=24): 1 for n in range(3)}
    assert exported(with_networks(9), sending(coarse)) == set(coarse)


def test_scores_that_are_no_numbers_or_none_at_all_do_no_harm() -> None:
    selection = Selection(LAYOUT, [("rtt", 2), ("rtt_inflation", 2), ("throughput", 2)], prefixes=Prefixes())
    for groups in (sending({}), tick([A, B]), tick([A], {RTT: [np.nan]}), sending({A: 0}), sending({})):
        choice, _ = selection.choose(groups, 15.0, MANY)
        assert len(choice.owner) == len(groups)
