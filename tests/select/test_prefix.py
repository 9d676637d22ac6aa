"""Networks, and what their groups add up to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.model import U64
from ss_pusher.select.candidates import NOBODY
from ss_pusher.select.prefix import Networks, Prefixes, networks, summed
from tests.select.build import ADDRESS, RECEIVED, RTT, RTT_LEAST, SENT, Key, as_keys, key, tick, unhurried

MULTIPLIERS = np.random.default_rng(1).integers(0, 2**64, (5, 2), np.uint64, endpoint=False)
NONE: U64 = np.empty(0, np.uint64)


def found(keys: list[Key], prefixes: Prefixes, known: U64 = NONE) -> Networks:
    return networks(np.array(keys, np.uint64).reshape(len(keys), 5).T, ADDRESS, prefixes, MULTIPLIERS, known)


def parents(keys: list[Key], nets: Networks) -> list[Key | None]:
    named = as_keys(nets.words.T)
    return [None if of == NOBODY else named[of] for _, of in zip(keys, nets.of.tolist(), strict=True)]


def key6(high: int, low: int, length: int = 128) -> Key:
    return (1, high, low, length, 443)


def test_addresses_of_one_ipv4_network_are_brought_together() -> None:
    keys = [key("192.0.2.1"), key("192.0.3.1"), key("192.0.2.200"), key("192.0.3.2")]
    two, three = key("192.0.2.0", length=24), key("192.0.3.0", length=24)
    assert parents(keys, found(keys, Prefixes())) == [two, three, two, three]


@pytest.mark.parametrize(
    ("length", "high", "low"),
    [(48, 0x20010DB800010000, 0), (64, 0x20010DB8000100FF, 0), (72, 0x20010DB8000100FF, 0xAB << 56)],
)
def test_addresses_of_one_ipv6_network_are_brought_together(length: int, high: int, low: int) -> None:
    keys = [key6(0x20010DB8000100FF, 0xAB << 56 | host) for host in (1, 2)]
    assert parents(keys, found(keys, Prefixes(24, length))) == [key6(high, low, length)] * 2


def test_groups_that_differ_in_another_label_have_different_networks() -> None:
    keys = [key(f"192.0.2.{host}", port=port) for host in (1, 2) for port in (80, 443)]
    assert len(found(keys, Prefixes()).hashes) == 2


def test_a_prefix_as_long_as_an_address_makes_no_networks() -> None:
    keys = [key("192.0.2.1"), key("192.0.2.2"), key6(0x20010DB8 << 32, 1), key6(0x20010DB8 << 32, 2)]
    assert parents(keys, found(keys, Prefixes(32, 48)))[:2] == [None] * 2
    assert parents(keys, found(keys, Prefixes(24, 128)))[2:] == [None] * 2


def test_a_network_of_one_group_counts_only_when_it_is_known() -> None:
    keys = [key("192.0.2.1")]
    assert parents(keys, found(keys, Prefixes())) == [None]
    known = found([key("192.0.2.8"), key("192.0.2.9")], Prefixes()).hashes
    assert parents(keys, found(keys, Prefixes(), known)) == [key("192.0.2.0", length=24)]


def test_a_group_as_coarse_as_the_prefix_is_no_network_of_its_own() -> None:
    coarse = [key("192.0.2.0", length=24)]
    known = found([key("192.0.2.8"), key("192.0.2.9")], Prefixes()).hashes
    assert parents(coarse, found(coarse, Prefixes(), known)) == [None]


def test_no_groups_have_no_networks() -> None:
    assert found([], Prefixes()).hashes.shape == (0,)


def test_networks_whose_hashes_meet_are_left_alone() -> None:
    keys = [key(f"192.0.{network}.{host}") for network in (2, 3) for host in (1, 2)]
    words = np.array(keys, np.uint64).T
    nets = networks(words, ADDRESS, Prefixes(), np.zeros((5, 2), np.uint64), NONE)
    assert parents(keys, nets) == [None] * 4


@unhurried
@given(
    st.lists(
        st.tuples(st.integers(-1, 2), st.integers(0, 10**12), st.lists(st.integers(1, 10**6), max_size=4)), max_size=20
    )
)
def test_groups_fold_to_networks_as_sockets_fold_to_groups(rows: list[tuple[int, int, list[int]]]) -> None:
    """Each row: the network, the bytes sent, and the round-trip times of the sockets in microseconds."""
    of = np.array([network for network, _, _ in rows], np.intp)
    keys = [key(f"10.0.0.{n}") for n in range(len(rows))]
    means = [sum(times) / len(times) * 1e-6 if times else np.nan for _, _, times in rows]
    least = [min(times) * 1e-6 if times else np.nan for _, _, times in rows]
    groups = tick(keys, {SENT: [sent for _, sent, _ in rows], RTT: means, RTT_LEAST: least}, [len(t) for *_, t in rows])
    total = summed(groups, of, 3, {SENT, RECEIVED, RTT, RTT_LEAST})
    for network in range(3):
        times = [time for n, _, row in rows if n == network for time in row]
        assert total.counters[0, network] == sum(sent for n, sent, _ in rows if n == network)
        assert total.sockets[network] == len(times)
        expected = [sum(times) / len(times) * 1e-6, min(times) * 1e-6] if times else [np.nan, np.nan]
        np.testing.assert_allclose(total.gauges[:, network], expected, rtol=1e-12)


def test_only_the_families_that_are_asked_for_are_added_up() -> None:
    total = summed(tick([key("192.0.2.1")], {SENT: [1]}), np.array([0]), 1, {RECEIVED})
    assert [c.family.name for c in total.flow_counters] == [RECEIVED]
    assert total.flow_gauges == ()
