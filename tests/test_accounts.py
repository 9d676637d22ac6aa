"""The totals: every increment is credited once, and what is exported anew begins at 0."""

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, log2

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.accounts import Accounts, Distribution, Totals
from ss_pusher.metrics import host
from ss_pusher.model import U64, Choice, Groups, HistogramBlock, Labels, NativeBuckets

WORDS = 2
COUNTERS = 3
OTHER = 0


def groups(increments: Mapping[int, int]) -> Groups:
    """Groups by the first word of their key; their counters grow by once, twice and three times the increment."""
    amounts = np.array(list(increments.values()), np.int64)
    count = len(amounts)
    return Groups(
        flow_counters=(),
        flow_gauges=(),
        keys=as_keys(list(increments)),
        sockets=np.ones(count, np.int64),
        counters=np.outer(np.arange(1, COUNTERS + 1), amounts),
        gauges=np.empty((0, count)),
        weights=np.empty((0, count), np.int64),
    )


def as_keys(words: list[int]) -> U64:
    return np.array([[word, word + 7] for word in words], np.uint64).reshape(-1, WORDS)


def choice(increments: Mapping[int, int], exported: list[int]) -> Choice:
    """Export these keys, which may have no group; all others are credited to the remainder, which comes last."""
    keys = [*exported, OTHER]
    owner = [keys.index(key if key in exported else OTHER) for key in increments]
    return Choice(as_keys(keys), np.array(owner, np.intp))


class Book:
    """Accounts, and the labels that they asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.accounts = Accounts(COUNTERS, WORDS, self.render)

    def render(self, key: U64) -> Labels:
        self.asked.append(int(key[0]))
        assert key[1] == key[0] + 7
        return (("key", str(key[0])),)

    def credit(self, increments: Mapping[int, int], exported: list[int], previous_ms: int = 1000) -> Totals:
        return self.accounts.credit(groups(increments), choice(increments, exported), previous_ms)


def by_key(totals: Totals) -> dict[str, int]:
    """The first counter of each exported key."""
    return {labels[0][1]: total for labels, total in zip(totals.labels, totals.counters[0].tolist(), strict=True)}


ticks = st.lists(
    st.tuples(
        st.dictionaries(st.integers(1, 6), st.integers(0, 1 << 54), max_size=6),
        st.lists(st.integers(1, 6), max_size=6, unique=True),
    ),
    max_size=12,
)


@given(ticks)
def test_every_increment_is_credited_to_one_key_and_to_the_host(
    history: list[tuple[dict[int, int], list[int]]],
) -> None:
    book = Book()
    host_total = 0
    before: dict[str, int] = {}
    for increments, exported in history:
        totals = book.credit(increments, exported)
        host_total += sum(increments.values())
        now = by_key(totals)
        assert totals.host.tolist() == [host_total, 2 * host_total, 3 * host_total]
        assert (totals.counters == np.outer([1, 2, 3], totals.counters[0])).all()
        rises = {key: total - before.get(key, 0) for key, total in now.items()}
        credited = {str(key): increments.get(key, 0) for key in exported}
        credited[str(OTHER)] = sum(amount for key, amount in increments.items() if key not in exported)
        assert rises == credited
        before = now


def test_a_key_that_becomes_exported_begins_at_0_with_the_tick_before() -> None:
    book = Book()
    book.credit({1: 5, 2: 7}, [1], previous_ms=1000)
    totals = book.credit({1: 5, 2: 7}, [1, 2], previous_ms=2000)
    assert by_key(totals) == {"1": 10, "2": 7, "0": 7}
    assert totals.start_ms.tolist() == [1000, 2000, 1000]


def test_a_key_that_left_and_comes_back_begins_at_0_again() -> None:
    book = Book()
    book.credit({1: 5}, [1], previous_ms=1000)
    book.credit({1: 5}, [], previous_ms=2000)
    totals = book.credit({1: 3}, [1], previous_ms=3000)
    assert by_key(totals) == {"1": 3, "0": 5}
    assert totals.start_ms.tolist() == [3000, 1000]


def test_a_key_without_a_group_stays_as_it_is() -> None:
    book = Book()
    book.credit({1: 5}, [1])
    assert by_key(book.credit({}, [1])) == {"1": 5, "0": 0}


def test_totals_go_with_their_keys_whatever_their_places() -> None:
    book = Book()
    book.credit({1: 1, 2: 2, 3: 3}, [1, 2, 3], previous_ms=1000)
    totals = book.credit({3: 30, 1: 10}, [3, 4, 1], previous_ms=2000)
    assert by_key(totals) == {"3": 33, "4": 0, "1": 11, "0": 0}
    assert totals.start_ms.tolist() == [1000, 2000, 1000, 1000]


def test_labels_are_rendered_once_and_are_the_same_object_while_the_keys_are() -> None:
    book = Book()
    first = book.credit({1: 1}, [1, 2])
    assert book.credit({2: 1}, [1, 2]).labels is first.labels
    book.credit({2: 1}, [2, 3])
    assert book.asked == [1, 2, OTHER, 3]


def test_totals_once_told_do_not_change() -> None:
    book = Book()
    first = book.credit({1: 1}, [1])
    book.credit({1: 1}, [1])
    book.credit({1: 1}, [2])
    assert by_key(first) == {"1": 1, "0": 0}
    assert first.host.tolist() == [1, 2, 3]
    assert first.start_ms.tolist() == [1000, 1000]


def test_the_host_counts_since_its_first_tick() -> None:
    book = Book()
    assert book.credit({}, [], previous_ms=1000).host_start_ms == 1000
    assert book.credit({}, [], previous_ms=2000).host_start_ms == 1000


# ---- histograms -----------------------------------------------------------------------------------------------------

BOUNDS = (0.1, 1.0, 10.0)
MILLI = 1000


def observed(*batches: list[int], bounds: tuple[float, ...] = BOUNDS, per: int = MILLI) -> HistogramBlock:
    distribution = Distribution(host.RTT, bounds, per)
    for batch in batches:
        distribution.observe(np.array(batch, dtype=np.uint64))
    return distribution.block(start_ms=1000)


def native(block: HistogramBlock) -> NativeBuckets:
    assert block.native is not None
    return block.native


def test_an_observation_at_a_bound_is_below_it() -> None:
    block = observed([0, 100, 101, 1000, 10_000, 10_001, 2**32 - 1])
    assert block.counts.tolist() == [[2, 2, 1, 2]]
    assert block.bounds == BOUNDS
    assert block.start_ms.tolist() == [1000]
    assert block.labels == ((),)


batches = st.lists(st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 20_000), max_size=8), max_size=5)
bound_sets = st.sets(st.sampled_from([0.0001, 0.001, 0.0025, 0.5, 1.0, 1.5, 4e6])).map(lambda b: tuple(sorted(b)))


@given(batches, bound_sets, st.sampled_from([1, MILLI, 1_000_000]))
def test_a_histogram_holds_every_observation_since_the_start(
    batches: list[list[int]], bounds: tuple[float, ...], per: int
) -> None:
    block = observed(*batches, bounds=bounds, per=per)
    every = [number for batch in batches for number in batch]
    exact = [Fraction(repr(bound)) * per for bound in bounds]
    assert np.cumsum(block.counts).tolist() == [*(sum(n <= bound for n in every) for bound in exact), len(every)]
    assert block.sums.tolist() == [sum(every) / per]


@given(batches, st.sampled_from([1, MILLI, 1_000_000]))
def test_both_forms_hold_the_same_observations(batches: list[list[int]], per: int) -> None:
    block = observed(*batches, per=per)
    buckets = native(block)
    every = [number for batch in batches for number in batch]
    assert buckets.zeros.tolist() == [every.count(0)]
    assert int(buckets.zeros.sum() + buckets.counts.sum()) == int(block.counts.sum()) == len(every)
    held = {buckets.first + place: int(n) for place, n in enumerate(buckets.counts[0]) if n}
    # No whole number is near enough to a bound that is none for a float to be wrong about it.
    assert held == Counter(ceil(log2(n / per) * 2**buckets.schema) for n in every if n)


@given(batches, batches)
def test_counts_never_fall_and_parts_add_up_to_the_whole(some: list[list[int]], others: list[list[int]]) -> None:
    before, added, after = observed(*some), observed(*others), observed(*some, *others)
    parts: list[Callable[[HistogramBlock], U64]] = [
        lambda block: block.counts,
        lambda block: native(block).counts,
        lambda block: native(block).zeros,
    ]
    for part in parts:
        assert (part(before) + part(added)).tolist() == part(after).tolist()
    assert native(before).first == native(after).first


def test_a_histogram_once_told_does_not_change() -> None:
    distribution = Distribution(host.CLOSED_FLOW_BYTES, BOUNDS)
    before = distribution.block(start_ms=0)
    distribution.observe(np.array([5.0]))
    assert before.counts.sum() == native(before).counts.sum() == 0
    assert before.sums.tolist() == [0]
