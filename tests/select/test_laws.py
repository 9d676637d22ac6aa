"""Laws of the selection: they hold whatever comes."""

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ss_pusher.model import Groups
from ss_pusher.select import Prefixes, Selection, candidates, selection
from tests.select.build import (
    LAYOUT,
    RETRANSMITTED,
    RTT,
    RTT_LEAST,
    SENT,
    Key,
    as_keys,
    key,
    keys_of,
    other,
    owners,
    peers,
    sending,
    tick,
    unhurried,
)
from tests.select.reference import Reference

HOUR = 3600.0
LABELS = ("direction", "remote_address", "service_port")
NAMES = ("throughput", "retransmits", "rtt", "rtt_inflation", "retransmit_ratio", "flows", SENT)

KEYS = [
    key(f"192.0.{network}.{host}", direction, port)
    for direction in (1, 2)
    for network in (2, 3)
    for host in (1, 2, 3)
    for port in (80, 443)
]


class Settings(NamedTuple):
    top: list[tuple[str, int]]
    hold: int
    series_per_group: int
    per_hour: int | None
    max_values: dict[str, int]
    prefixes: Prefixes | None

    def selection(self) -> Selection:
        return Selection(
            LAYOUT,
            self.top,
            hold=self.hold,
            series_per_group=self.series_per_group,
            max_new_series_per_hour=self.per_hour,
            max_values=self.max_values,
            prefixes=self.prefixes,
        )


class Tick(NamedTuple):
    groups: Groups
    seconds: float
    max_groups: int


settings_drawn = st.builds(
    Settings,
    top=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 4)), max_size=3, unique_by=lambda ranked: ranked[0]),
    hold=st.integers(0, 3),
    series_per_group=st.integers(1, 5),
    per_hour=st.none() | st.integers(1, 60),
    max_values=st.dictionaries(st.sampled_from(LABELS[1:]), st.integers(1, 5)),
    prefixes=st.none() | st.just(Prefixes()) | st.just(Prefixes(32, 48)),
)
amounts = st.integers(0, 3) | st.integers(0, 10**12)
values = st.just(np.nan) | st.sampled_from([0.0, 0.001, 0.02]) | st.floats(0, 100)


@st.composite
def drawn_groups(draw: st.DrawFn) -> Groups:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=12))
    counts, gauges = (st.lists(each, min_size=len(keys), max_size=len(keys)) for each in (amounts, values))
    named = {SENT: draw(counts), RETRANSMITTED: draw(counts), RTT: draw(gauges), RTT_LEAST: draw(gauges)}
    sockets = draw(st.lists(st.integers(0, 3), min_size=len(keys), max_size=len(keys)))
    return tick(keys, named, sockets)


ticks_drawn = st.lists(
    st.builds(
        Tick,
        groups=drawn_groups(),
        seconds=st.sampled_from([0.001, 1.0, 15.0, 900.0, 1e5]),
        max_groups=st.integers(0, 12) | st.just(10**6),
    ),
    max_size=12,
)


@unhurried
@given(settings_drawn, ticks_drawn)
def test_no_limit_is_ever_exceeded(setup: Settings, ticks: list[Tick]) -> None:
    chosen = setup.selection()
    begun: list[tuple[float, int]] = []
    before: set[Key] = set()
    now = 0.0
    for groups, seconds, max_groups in ticks:
        now += seconds
        choice, report = chosen.choose(groups, seconds, max_groups)
        keys = keys_of(choice)
        assert len(set(keys)) == len(keys) <= max(max_groups, chosen.remainders)
        new = setup.series_per_group * len(set(keys) - before)
        assert report.new_series == new
        begun.append((now, new))
        before = set(keys)
        if setup.per_hour is not None:
            least = chosen.remainders * setup.series_per_group  # what the remainder costs in any case
            assert sum(n for t, n in begun if t > now - HOUR) <= max(setup.per_hour, least)
        for part in LAYOUT:
            distinct = {k[part.first : part.first + part.width] for k in keys}
            assert len(distinct) <= setup.max_values.get(part.label, len(keys))


@unhurried
@given(settings_drawn, ticks_drawn)
def test_each_group_is_credited_to_itself_else_to_its_network_else_to_its_remainder(
    setup: Settings, ticks: list[Tick]
) -> None:
    chosen = setup.selection()
    for groups, seconds, max_groups in ticks:
        choice, _ = chosen.choose(groups, seconds, max_groups)
        keys = set(keys_of(choice))
        assert choice.owner.shape == (len(groups),)
        for group, owner in owners(groups, choice).items():
            network = (*group[:2], group[2] & ~0xFF, 120, group[4])
            assert owner == next(k for k in (group, network, other(group[0])) if k in keys)
        credited = np.zeros((len(groups.counters), len(keys)), np.int64)
        np.add.at(credited.T, choice.owner, groups.counters.T)
        assert (credited.sum(axis=1) == groups.counters.sum(axis=1)).all()


@unhurried
@given(settings_drawn, ticks_drawn, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(setup: Settings, ticks: list[Tick], random: np.random.Generator) -> None:
    one, two = setup.selection(), setup.selection()
    for groups, seconds, max_groups in ticks:
        order = list(range(len(groups)))
        random.shuffle(order)
        shuffled = replace(
            groups,
            keys=groups.keys[order],
            sockets=groups.sockets[order],
            counters=groups.counters[:, order],
            gauges=groups.gauges[:, order],
            weights=groups.weights[:, order],
        )
        expected, report = one.choose(groups, seconds, max_groups)
        got, same_report = two.choose(shuffled, seconds, max_groups)
        assert keys_of(got) == keys_of(expected)
        assert owners(shuffled, got) == owners(groups, expected)
        assert repr(same_report) == repr(report)


@unhurried
@given(settings_drawn, ticks_drawn)
def test_keys_that_stay_keep_their_order_and_the_remainder_stays_for_ever(setup: Settings, ticks: list[Tick]) -> None:
    chosen = setup.selection()
    choices = [chosen.choose(*step)[0] for step in ticks]
    for before, after in pairwise(keys_of(choice) for choice in choices):
        staying = [k for k in before if k in after]
        assert after[: len(staying)] == staying
        assert {other(1), other(2)} & set(before) <= set(after)


@unhurried
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 3)), min_size=1, max_size=3, unique_by=lambda r: r[0]),
    st.integers(0, 2),
    ticks_drawn,
)
def test_with_room_for_all_it_does_what_its_rules_say(top: list[tuple[str, int]], hold: int, ticks: list[Tick]) -> None:
    chosen, reference = Selection(LAYOUT, top, hold=hold), Reference(dict(top), hold)
    for groups, seconds, _ in ticks:
        choice, _ = chosen.choose(groups, seconds, 10**6)
        keys = as_keys(groups.keys)
        scores = {
            name: {k: s for k, s in zip(keys, row, strict=True) if s > 0}
            for (name, _), row in zip(top, chosen._scores(groups, seconds).tolist(), strict=True)
        }
        expected = reference.choose(scores, seconds)
        assert [k for k in keys_of(choice) if k not in (other(1), other(2))] == expected


@settings(unhurried, max_examples=20)
@given(st.integers(0, 2**32))
def test_small_noise_never_moves_the_membership(seed: int) -> None:
    random = np.random.default_rng(seed)
    base = {peer: 1e6 * 1.15**-n for n, peer in enumerate(peers(60))}
    chosen = Selection(LAYOUT, [("throughput", 10)])
    exported = []
    for _ in range(60):
        noisy = {peer: int(amount * random.uniform(0.9, 1.1)) for peer, amount in base.items()}
        choice, report = chosen.choose(sending(noisy), 15.0, 1000)
        exported.append(keys_of(choice))
        assert report.evicted == 0
    assert len(exported[-1]) <= 10 + 2 + 1
    assert len(set(map(tuple, exported))) <= 3


@pytest.mark.parametrize("prefixes", [None, Prefixes()])
def test_a_flood_of_new_addresses_is_not_remembered(monkeypatch: pytest.MonkeyPatch, prefixes: Prefixes | None) -> None:
    monkeypatch.setattr(candidates, "_MOST_REMEMBERED", 300)
    chosen = Selection(LAYOUT, [("throughput", 20), ("flows", 20)], prefixes=prefixes)
    for step in range(30):
        flood = dict.fromkeys(peers(2000, start=2000 * step), 100)
        choice, _ = chosen.choose(sending(flood), 15.0, 100)
        assert len(choice.keys) <= 100
        assert len(chosen._candidates) <= 300 + 100


def test_a_flood_does_not_push_out_those_who_send_more() -> None:
    chosen = Selection(LAYOUT, [("throughput", 20)], max_new_series_per_hour=100)
    steady = dict.fromkeys(peers(20), 1000)
    chosen.choose(sending(steady), 15.0, 100)
    for step in range(1, 20):
        flood = dict.fromkeys(peers(2000, start=2000 * step), 999)
        choice, _ = chosen.choose(sending(steady | flood), 15.0, 100)
        assert set(steady) <= set(keys_of(choice))


@unhurried
@given(settings_drawn, ticks_drawn)
def test_groups_whose_hashes_meet_are_never_taken_for_one(setup: Settings, ticks: list[Tick]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "hashed", lambda words, _: words[-1] % 3)
        chosen = setup.selection()
        for groups, seconds, max_groups in ticks:
            choice, _ = chosen.choose(groups, seconds, max_groups)
            keys = keys_of(choice)
            assert len(set(keys)) == len(keys)
            for group, owner in owners(groups, choice).items():
                assert owner in (group, other(group[0])) or owner[3] == 120
