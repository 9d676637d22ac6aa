"""The benchmark's traces in a small form: what the selection gives, and at what price, must not get worse.

The bounds lie a little outside of what was measured. docs/cardinality.md has the figures of the full size, and says
why some traces allow less than others.
"""

from itertools import islice
from typing import NamedTuple

import numpy as np
import pytest

from bench.policies import MAX_NEW_SERIES_PER_HOUR, MAX_SERIES
from bench.replay import FIRST_COME, OURS, PLAIN_TOP, Result, compare
from bench.traces import HOUR, TRACES

TICK = 15.0
SCALE = 0.1
SEED = 7


class Bounds(NamedTuple):
    """From which hour on to look, and what to see there."""

    hour: float
    new_at_most: float  # against plain top-N
    bytes_at_least: float  # against plain top-N
    retransmits_at_least: float  # against plain top-N
    better_than_first_come: float  # by bytes


BOUNDS = {
    "daily rhythm": Bounds(0, 0.11, 0.97, 0.93, 4.0),
    "web server": Bounds(0, 0.08, 0.81, 0.57, 3.5),
    "port scan": Bounds(2.5, 0.13, 0.98, 0.55, 1.3),
    "attack": Bounds(5.5, 0.10, 0.98, 0.74, 1.9),
    "night batch": Bounds(1.5, 0.10, 0.98, 0.98, 1.8),
    "turnover": Bounds(0.5, 0.13, 0.98, 0.89, 1.2),
}


def results(name: str) -> dict[str, Result]:
    first = int(BOUNDS[name].hour * HOUR / TICK)
    trace = TRACES[name](np.random.default_rng(SEED), TICK, SCALE)
    return dict(compare(islice(trace, first, first + int(1.5 * HOUR / TICK)), SEED, TICK))


@pytest.mark.parametrize("name", TRACES)
def test_a_fraction_of_the_new_series_covers_nearly_what_the_exact_top_does(name: str) -> None:
    bounds, by_policy = BOUNDS[name], results(name)
    ours, plain = by_policy[OURS], by_policy[PLAIN_TOP]
    assert ours.new_per_hour <= bounds.new_at_most * plain.new_per_hour
    assert ours.bytes >= bounds.bytes_at_least * plain.bytes
    assert ours.retransmits >= bounds.retransmits_at_least * plain.retransmits
    assert ours.bytes >= bounds.better_than_first_come * by_policy[FIRST_COME].bytes
    assert ours.most_series <= MAX_SERIES
    assert ours.new_per_hour <= MAX_NEW_SERIES_PER_HOUR


def test_the_same_seed_gives_the_same_results() -> None:
    assert results("night batch") == results("night batch")
